package dynamo_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/dynamo/dynamotest"
	"example.com/portable-notes/notes/storetest"
)

// childServerVar is the environment variable that makes this binary a fake DynamoDB. As it is a process of its own, the
// processor time of the benchmark's process is that of the client alone.
const childServerVar = "NOTES_TEST_SERVES"

func runServer() {
	server := newScripted(&testing.B{}, func(operation string) (int, string) {
		if operation == "Query" {
			return 200, pageJSON(20)
		}
		return 200, `{"Item":` + noteJSON + `}`
	})
	fmt.Println(server.URL)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // returns when the parent ends
}

func startServer(b *testing.B) aws.Config {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childServerVar+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return dynamotest.ConfigOf(strings.TrimSpace(url))
}

// stockNote is a note for the SDK's package attributevalue.
type stockNote struct {
	PK      string   `dynamodbav:"pk"`
	SK      string   `dynamodbav:"sk"`
	Version int64    `dynamodbav:"v"`
	Created int64    `dynamodbav:"c"`
	Updated int64    `dynamodbav:"u"`
	Title   string   `dynamodbav:"t"`
	Content string   `dynamodbav:"b"`
	Tags    []string `dynamodbav:"g"`
}

// compare alternates between two calls and reports the median ratio of our time to that of the stock client.
func compare(b *testing.B, callers int, clock func() time.Duration, ours, stock func() error) {
	b.Helper()
	round := func(call func() error) float64 {
		const calls = 4000
		begin := clock()
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				for range calls / callers {
					if err := call(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		return float64((clock() - begin).Microseconds()) / calls
	}
	round(ours)
	round(stock)
	var ratios []float64
	for b.Loop() {
		o, s := round(ours), round(stock)
		ratios = append(ratios, o/s)
		b.ReportMetric(o, "µs/call")
		b.ReportMetric(s, "stock-µs/call")
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ours/stock")
}

func wallTime() time.Duration { return time.Since(benchStart) }

var benchStart = time.Now()

// BenchmarkClient compares the store with the SDK's own client on the same answers.
func BenchmarkClient(b *testing.B) {
	cfg := startServer(b)
	s, client := open(b, cfg, "notes"), dynamodb.NewFromConfig(cfg)
	id := newNote("x").ID
	get := func() error { _, err := s.Get(b.Context(), "o", id); return err }
	stockGet := func() error {
		out, err := client.GetItem(b.Context(), &dynamodb.GetItemInput{
			TableName: aws.String("notes"), ConsistentRead: aws.Bool(true), Key: map[string]types.AttributeValue{
				"pk": &types.AttributeValueMemberS{Value: "O#o"}, "sk": &types.AttributeValueMemberS{
					Value: "N#0199a1b2c3d47e5f8a6b7c8d9e0f1a2b"},
			}})
		if err != nil {
			return err
		}
		var n stockNote
		return attributevalue.UnmarshalMap(out.Item, &n)
	}
	list := func() error {
		for _, err := range s.Newest(b.Context(), "o", notes.ID{15: 9}, 20) {
			if err != nil {
				return err
			}
		}
		return nil
	}
	stockList := func() error {
		out, err := client.Query(b.Context(), &dynamodb.QueryInput{
			TableName: aws.String("notes"), ConsistentRead: aws.Bool(true), ScanIndexForward: aws.Bool(false),
			Limit:                  aws.Int32(20),
			KeyConditionExpression: aws.String("pk = :pk AND sk BETWEEN :low AND :high"),
			ExpressionAttributeValues: map[string]types.AttributeValue{
				":pk": &types.AttributeValueMemberS{Value: "O#o"}, ":low": &types.AttributeValueMemberS{Value: "N#"},
				":high": &types.AttributeValueMemberS{Value: "N#f"},
			},
		})
		if err != nil {
			return err
		}
		var all []stockNote
		return attributevalue.UnmarshalListOfMaps(out.Items, &all)
	}
	b.Run("Get", func(b *testing.B) { compare(b, 1, wallTime, get, stockGet) })
	b.Run("GetProcessorTime32", func(b *testing.B) { compare(b, 32, storetest.ProcessorTime(b), get, stockGet) })
	b.Run("List20", func(b *testing.B) { compare(b, 1, wallTime, list, stockList) })
	b.Run("List20ProcessorTime", func(b *testing.B) { compare(b, 1, storetest.ProcessorTime(b), list, stockList) })
}
