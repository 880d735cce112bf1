package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"example.com/portable-notes/notes/storetest"
)

// call is a request about one of the shared notes.
type call struct {
	note    int
	method  string
	title   string // set by a PUT, which clears the content, and by a PATCH without content
	content string // set by a PATCH; "" for none
	ifMatch int    // the version for If-Match; 0 sends no condition
}

// outcome is the answer to a call.
type outcome struct {
	status int // 0 if there was no answer
	note   noteJSON
}

// isUnknown reports whether the call may or may not have taken effect. This includes a 503: a slow store may still
// write after the service has given up.
func (o outcome) isUnknown() bool { return o.status == 0 || o.status == http.StatusServiceUnavailable }

// register is the state of a note in the model.
type register struct {
	exists         bool
	version        int
	title, content string
}

// model is the contract of one note: requests take effect one after the other, each as a whole.
var model = porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byNote := map[int][]porcupine.Operation{}
		for _, op := range history {
			n := op.Input.(call).note
			byNote[n] = append(byNote[n], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byNote {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() []any { return []any{register{exists: true, version: 1, title: "start"}} },
	Step: func(state, input, output any) []any {
		before, c, out := state.(register), input.(call), output.(outcome)
		after, status := before.apply(c)
		switch {
		case out.isUnknown():
			return []any{before, after} // it took effect, or it did not
		case out.status != status:
			return nil
		case status == 200 && (out.note.Version != after.version || out.note.Title != after.title ||
			out.note.Content != after.content):
			return nil
		}
		return []any{after}
	},
}

func (r register) apply(c call) (register, int) {
	switch {
	case !r.exists:
		return r, 404
	case c.ifMatch != 0 && c.ifMatch != r.version:
		return r, 412
	}
	switch c.method {
	case "DELETE":
		return register{}, 204
	case "PUT":
		r.title, r.content = c.title, ""
	case "PATCH":
		if c.content != "" {
			r.content = c.content
		} else {
			r.title = c.title
		}
	default:
		return r, 200
	}
	r.version++
	return r, 200
}

func (c call) body() string {
	switch {
	case c.content != "":
		return fmt.Sprintf(`{"content":%q}`, c.content)
	case c.title != "":
		return fmt.Sprintf(`{"title":%q}`, c.title)
	}
	return ""
}

// runShared lets 16 clients work on 24 notes, kills the server from time to time, and returns the history of all calls.
// LateWrites reports whether a write may still take effect after its server was killed.
func runShared(t *testing.T, ops, kills int, lateWrites bool, start func(file string) *process) []porcupine.Operation {
	t.Helper()
	const clients, shared = 16, 24
	file := newFile(t)
	p := start(file)
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport}
	ids := make([]string, shared)
	for i := range ids {
		ids[i] = parseNote(t, sendOnce(c, "POST", p.url+"/notes", `{"title":"start"}`).body).ID
	}
	begin := time.Now()
	var history []porcupine.Operation
	var mu sync.Mutex
	for phase := range kills + 1 {
		var pending []porcupine.Operation
		var count atomic.Int64
		quota := int64((ops + kills) / (kills + 1)) // rounded up
		var done sync.WaitGroup
		kill := make(chan struct{})
		for id := range clients {
			random := rand.New(rand.NewPCG(uint64(phase), uint64(id)))
			seen := make([]int, shared) // versions
			done.Go(func() {
				for {
					if n := count.Add(1); n == quota {
						close(kill)
					} else if n > quota && phase == kills {
						return
					}
					in := pickCall(random, seen, fmt.Sprintf("%d-%d-%d", phase, id, random.IntN(1e9)))
					var headers []string
					if in.ifMatch != 0 {
						headers = []string{"If-Match", fmt.Sprintf(`"%d"`, in.ifMatch)}
					}
					op := porcupine.Operation{ClientId: id, Input: in, Call: int64(time.Since(begin))}
					a := sendOnce(c, in.method, p.url+"/notes/"+ids[in.note], in.body(), headers...)
					op.Return = int64(time.Since(begin))
					out := outcome{status: a.status}
					if a.status == 200 {
						if err := json.Unmarshal([]byte(a.body), &out.note); err != nil {
							t.Error(err)
						}
						seen[in.note] = out.note.Version
					}
					op.Output = out
					mu.Lock()
					if out.isUnknown() {
						pending = append(pending, op)
					} else {
						history = append(history, op)
					}
					mu.Unlock()
					if a.status == 0 {
						return
					}
				}
			})
		}
		<-kill
		if phase < kills {
			p.kill()
		}
		done.Wait()
		if phase < kills {
			p = start(file)
		}
		// in a file the write has taken effect by now or never will; in a table it still may
		for _, op := range pending {
			op.Return = int64(time.Since(begin))
			if lateWrites {
				op.Return = math.MaxInt64
			}
			history = append(history, op)
		}
	}
	p.kill()
	return history
}

// pickCall picks the next call of a client that has seen these versions of the notes.
func pickCall(random *rand.Rand, seen []int, text string) call {
	c := call{note: random.IntN(len(seen)), method: "GET"}
	switch n := random.IntN(100); {
	case n < 30:
	case n < 50:
		c.method, c.title = "PATCH", text
	case n < 65:
		c.method, c.content = "PATCH", text
	case n < 98:
		c.method, c.title, c.ifMatch = "PUT", text, seen[c.note]
	case n == 98 && random.IntN(4) == 0:
		c.method = "DELETE"
	case n == 99 && random.IntN(4) == 0:
		c.method, c.ifMatch = "DELETE", seen[c.note]
	}
	return c
}

// TestProofLinearizable: the history of 16 clients that share notes is linearizable, even if the server is killed.
func TestProofLinearizable(t *testing.T) {
	ops, kills := storetest.Amount(10_000, 50_000), storetest.Amount(5, 25)
	m := model.ToModel()
	history := runShared(t, ops, kills, false, func(file string) *process { return startServer(t, file) })
	if len(history) < ops {
		t.Errorf("the history has %d operations, want at least %d", len(history), ops)
	}
	result := porcupine.CheckOperationsTimeout(m, history, time.Minute)
	if result != porcupine.Ok {
		t.Errorf("the history of %d operations is %s", len(history), result)
	}
	control := runShared(t, 2000, 0, false, func(file string) *process {
		return startControl(t, faultUnconditional, file)
	})
	caught := porcupine.CheckOperationsTimeout(m, control, time.Minute)
	if caught != porcupine.Illegal {
		t.Errorf("the control, a store that ignores conditions, has a history that is %s, want Illegal", caught)
	}
	storetest.Proved(t, fmt.Sprintf("%d operations, %d kills", len(history), kills), string(result),
		"without conditions: "+string(caught))
}

// TestProofLinearizableOnDynamoDB is TestProofLinearizable with the notes in a table.
func TestProofLinearizableOnDynamoDB(t *testing.T) {
	table := dynamoDBEnv(t)
	ops, kills := storetest.Amount(3000, 10_000), storetest.Amount(5, 25)
	history := runShared(t, ops, kills, true, func(file string) *process { return startServer(t, file, table...) })
	result := porcupine.CheckOperationsTimeout(model.ToModel(), history, time.Minute)
	if result != porcupine.Ok || len(history) < ops {
		t.Errorf("the history of %d operations is %s", len(history), result)
	}
	storetest.Proved(t, fmt.Sprintf("%d operations, %d kills", len(history), kills), string(result), "as for the file")
}

// concurrently sends all requests at the same time and returns their replies.
func concurrently(requests []func() reply) []reply {
	replies := make([]reply, len(requests))
	var all sync.WaitGroup
	for i, request := range requests {
		all.Go(func() { replies[i] = request() })
	}
	all.Wait()
	return replies
}

func newRaceClient(t *testing.T) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// raceETag lets 16 writers update a note with the same ETag. It returns the number of rounds without exactly one
// winner.
func raceETag(t *testing.T, p *process, rounds int) (wrong int) {
	c := newRaceClient(t)
	for range rounds {
		id := parseNote(t, sendOnce(c, "POST", p.url+"/notes", `{"title":"contested"}`).body).ID
		var puts []func() reply
		for i := range 16 {
			puts = append(puts, func() reply {
				return sendOnce(c, "PUT", p.url+"/notes/"+id, fmt.Sprintf(`{"title":"by %d"}`, i), "If-Match", `"1"`)
			})
		}
		statuses := map[int]int{}
		for _, r := range concurrently(puts) {
			statuses[r.status]++
		}
		if !reflect.DeepEqual(statuses, map[int]int{200: 1, 412: 15}) {
			wrong++
		}
	}
	return wrong
}

// racePatches returns the number of rounds that lost a patch. In each round, three concurrent patches change one field
// each, then eight concurrent patches change the same field.
func racePatches(t *testing.T, p *process, rounds int) (wrong int) {
	c := newRaceClient(t)
	for range rounds {
		id := parseNote(t, sendOnce(c, "POST", p.url+"/notes", `{"title":"x"}`).body).ID
		patch := func(body string) func() reply {
			return func() reply { return sendOnce(c, "PATCH", p.url+"/notes/"+id, body) }
		}
		concurrently([]func() reply{patch(`{"title":"t"}`), patch(`{"content":"c"}`), patch(`{"tags":["g"]}`)})
		got := sendOnce(c, "GET", p.url+"/notes/"+id, "").body
		kept := strings.Contains(got, `"title":"t","content":"c","tags":["g"]`) &&
			strings.Contains(got, `"version":4`)
		var same []func() reply
		for i := range 8 {
			same = append(same, patch(fmt.Sprintf(`{"content":"%d"}`, i)))
		}
		concurrently(same)
		if parseNote(t, sendOnce(c, "GET", p.url+"/notes/"+id, "").body).Version != 12 || !kept {
			wrong++
		}
	}
	return wrong
}

// raceKey lets 20 clients create a note with the same idempotency key. It returns the number of keys for which the
// clients got different answers or made more than one note.
func raceKey(t *testing.T, p *process, keys int) (wrong int) {
	c := newRaceClient(t)
	for k := range keys {
		var posts []func() reply
		for range 20 {
			posts = append(posts, func() reply {
				return sendOnce(c, "POST", p.url+"/notes", fmt.Sprintf(`{"title":"raced %d"}`, k), "Idempotency-Key",
					fmt.Sprint("race-", k))
			})
		}
		bodies, fresh := map[string]bool{}, 0
		for _, r := range concurrently(posts) {
			bodies[fmt.Sprint(r.status, r.header.Get("Location"), r.header.Get("Etag"), r.body)] = r.status == 201
			if r.header.Get("Idempotency-Replayed") == "" {
				fresh++
			}
		}
		for _, ok := range bodies {
			if !ok || len(bodies) != 1 || fresh != 1 {
				wrong++
				break
			}
		}
	}
	if all, _ := listByTitle(c, p.url); len(all) != keys {
		wrong++
	}
	return wrong
}

// TestProofRaces: concurrent writers get what the contract promises them.
func TestProofRaces(t *testing.T) {
	for _, race := range []struct {
		name        string
		run         func(*testing.T, *process, int) int
		short, long int
		fault       string
	}{
		{"OneWinnerPerETag", raceETag, 50, 500, faultUnconditional},
		{"PatchesStand", racePatches, 200, 1000, faultRewriting},
		{"OneNotePerKey", raceKey, 1000, 1000, faultKeyless},
	} {
		t.Run(race.name, func(t *testing.T) {
			rounds := storetest.Amount(race.short, race.long)
			wrong := race.run(t, startServer(t, newFile(t)), rounds)
			onTable := storetest.Amount(20, 200)
			wrong += race.run(t, startServer(t, newFile(t), dynamoDBEnv(t)...), onTable)
			if wrong > 0 {
				t.Errorf("%d of %d rounds failed", wrong, rounds+onTable)
			}
			const controls = 20
			caught := race.run(t, startControl(t, race.fault, newFile(t)), controls)
			if caught == 0 {
				t.Errorf("the control, a store with the fault %s, was not caught", race.fault)
			}
			storetest.Proved(t, fmt.Sprintf("%d rounds on a file, %d on DynamoDB Local", rounds, onTable),
				fmt.Sprintf("%d wrong", wrong), fmt.Sprintf("%s: %d of %d wrong", race.fault, caught, controls))
		})
	}
}
