package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/portable-notes/app/apptest"
	"example.com/portable-notes/app/jwt/jwttest"
	"example.com/portable-notes/app/token"
	"example.com/portable-notes/notes/bolt"
	"example.com/portable-notes/notes/storetest"
)

// newToken returns a new token of an owner, and the line that makes a server accept it.
func newToken(t testing.TB, owner, scope string) (secret, line string) {
	t.Helper()
	secret, line, err := token.New(owner)
	if err != nil {
		t.Fatal(err)
	}
	return secret, strings.Replace(line, " write ", " "+scope+" ", 1)
}

// sendRequest sends a request and returns the response and its body. Headers are pairs of name and value.
func sendRequest(t testing.TB, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}

// TestJWT: a server with NOTES_AUTH=jwt accepts tokens of the issuer.
func TestJWT(t *testing.T) {
	markConcurrent(t)
	issuer := jwttest.New(t)
	with := []string{"NOTES_AUTH=jwt", "NOTES_JWT_ISSUER=" + issuer.URL, "NOTES_JWT_AUDIENCE=" + jwttest.Audience}
	p := startServer(t, newFile(t), with...)
	await(t, "the server announces who can use it", 5*time.Second, func() bool {
		return strings.Contains(p.output(), "callers need a token from "+issuer.URL+" (NOTES_AUTH=jwt)")
	})
	for scope, want := range map[string][2]int{"notes:read": {200, 403}, "notes:write": {200, 201},
		"openid": {403, 403}} {
		bearer := "Bearer " + issuer.Token(t, "anna", scope)
		read, _ := sendRequest(t, "GET", p.url+"/notes", "", "Authorization", bearer)
		write, _ := sendRequest(t, "POST", p.url+"/notes", `{"title":"x"}`, "Authorization", bearer)
		if read.StatusCode != want[0] || write.StatusCode != want[1] {
			t.Errorf("scope %s: a read %d, a write %d, want %v", scope, read.StatusCode, write.StatusCode, want)
		}
	}
	if answer, _ := sendRequest(t, "GET", p.url+"/notes", ""); answer.StatusCode != 401 {
		t.Errorf("without a token: %d", answer.StatusCode)
	}
	dead := httptest.NewServer(nil)
	dead.Close()
	// A server starts while its issuer is unreachable, but not with a URL that is not an issuer.
	away := startServer(t, newFile(t), "NOTES_AUTH=jwt", "NOTES_JWT_ISSUER="+dead.URL, "NOTES_JWT_AUDIENCE=x")
	if answer, text := sendRequest(t, "GET", away.url+"/notes", "", "Authorization", "Bearer "+
		issuer.Token(t, "anna", "notes:read")); answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" ||
		strings.Contains(text, "127.0.0.1") {
		t.Errorf("without the issuer: %d %v %s", answer.StatusCode, answer.Header, text)
	}
	for says, env := range map[string][]string{
		"NOTES_JWT_ISSUER: must be the issuer's https URL": {
			"NOTES_JWT_ISSUER=http://example.com", "NOTES_JWT_AUDIENCE=x"},
		"NOTES_JWT_ISSUER: " + away.url:           {"NOTES_JWT_ISSUER=" + away.url, "NOTES_JWT_AUDIENCE=x"},
		"NOTES_AUTH=jwt needs NOTES_JWT_AUDIENCE": {"NOTES_JWT_ISSUER=https://example.com"},
	} {
		if code, _, stderr := runServer(t, append(env, "NOTES_AUTH=jwt", "NOTES_ADDR=127.0.0.1:0", "NOTES_STORE=bolt:"+
			newFile(t))); code != 2 || !strings.Contains(stderr, says) {
			t.Errorf("%v: %d %s, want %s", env, code, stderr, says)
		}
	}
}

// TestIsolation: through the server, on either store, another owner's note is the same as one that does not exist.
func TestIsolation(t *testing.T) {
	for name, env := range map[string][]string{"File": nil, "DynamoDB": dynamoDBEnv(t)} {
		t.Run(name, func(t *testing.T) {
			anna, annas := newToken(t, "anna", "write")
			ben, bens := newToken(t, "ben", "write")
			p := startServer(t, newFile(t), append(env, "NOTES_AUTH=token", "NOTES_TOKENS="+annas+","+bens)...)
			cases, leaks := apptest.Isolation(t, apptest.Guarded{Base: p.url, Send: client.Do, Anna: anna, Ben: ben})
			if len(leaks) > 0 || cases < 200 {
				t.Errorf("%d of %d cases leak: %s", len(leaks), cases, strings.Join(leaks, "\n"))
			}
		})
	}
}

// TestDocsSecurity: the commands in the chapters Security and The file of docs/operate.md work as they are, and the
// former chapter is short.
func TestDocsSecurity(t *testing.T) {
	_, chapter, _ := strings.Cut(docsText(t), "\n## Security\n")
	chapter, file, _ := strings.Cut(chapter, "\n## The file\n")
	if n := strings.Count(chapter, "\n"); n > 40 || len(chapter) > 4000 {
		t.Errorf("the chapter Security has %d lines and %d bytes, want at most 40 and 4000", n, len(chapter))
	}
	_, command, _ := strings.Cut(chapter, "```sh\n")
	command, _, _ = strings.Cut(command, "\n```")
	var env []string
	for _, word := range strings.Fields(command) {
		if name, value, ok := strings.Cut(word, "="); ok {
			switch name {
			case "NOTES_TOKENS_FILE":
				value = filepath.Join(t.TempDir(), value)
			case "NOTES_ADMIN_ADDR":
				value = "127.0.0.1:0"
			}
			env = append(env, name+"="+value)
		}
	}
	tokens := env[slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, "NOTES_TOKENS_FILE=") })]
	_, made, _ := runServer(t, nil, "-new-token", "anna")
	secret, rest, _ := strings.Cut(made, "\n")
	_, line, _ := strings.Cut(rest, "NOTES_TOKENS='")
	line, _, _ = strings.Cut(line, "'")
	backup, known, err := token.New("operator")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(strings.TrimPrefix(tokens, "NOTES_TOKENS_FILE="), []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startServer(t, newFile(t), append(env, "NOTES_LOG_KEY=0123456789abcdef", "NOTES_BACKUP_TOKEN="+
		strings.Fields(known)[2])...)
	if a := sendOnce(client, "POST", p.url+"/notes", `{"title":"x"}`, "Authorization", "Bearer "+secret, "X-Request-Id",
		"mine"); a.status != 201 {
		t.Errorf("with the token: %d %s", a.status, a.body)
	}
	if a := sendOnce(client, "GET", p.url+"/notes", ""); a.status != 401 {
		t.Errorf("without the token: %d", a.status)
	}
	_, formula, _ := strings.Cut(chapter, "`printf")
	formula, _, _ = strings.Cut(formula, "`")
	formula = strings.NewReplacer("OWNER", "anna", "./server", buildServer(t)).Replace(formula)
	cmd := exec.Command("sh", "-c", "printf"+formula)
	cmd.Env = append(os.Environ(), "NOTES_LOG_KEY=0123456789abcdef")
	out, err := cmd.Output()
	hash := strings.TrimSpace(string(out))
	if err != nil || len(hash) != 16 {
		t.Fatalf("%v: %s", err, out)
	}
	await(t, "the log has the hash that the documented command prints", 5*time.Second, func() bool {
		return strings.Contains(p.output(), "caller="+hash+"\n")
	})

	_, copies, _ := strings.Cut(file, "```sh\n")
	copies, _, _ = strings.Cut(copies, "\n```")
	copies = strings.Replace(copies, "127.0.0.1:9090", adminURL(t, p), 1)
	shell := exec.Command("sh", "-ec", copies)
	seen, path := recordArguments(t, "curl")
	shell.Dir, shell.Env = t.TempDir(), append(os.Environ(), "BACKUP="+backup, path)
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if arguments := seen(); !strings.Contains(arguments, "copy.db") || strings.Contains(arguments, backup) {
		t.Errorf("ps shows these arguments of curl: %s", arguments)
	}
	copied := filepath.Join(shell.Dir, "copy.db")
	if report, err := bolt.Check(copied); err != nil || report.Notes != 1 {
		t.Errorf("the backup is %+v, %v", report, err)
	}
	files, err := os.ReadDir(shell.Dir)
	if err != nil || len(files) != 2 {
		t.Errorf("the commands leave the files %v, %v; want 2", files, err)
	}
	for _, file := range files {
		if info, err := file.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", file.Name(), info, err)
		}
	}
}

// recordArguments puts a script in front of the program of that name. The script records its arguments, which every
// user of the machine can see, and then runs the program. Path is the PATH entry of an environment that uses the
// script.
func recordArguments(t *testing.T, name string) (seen func() string, path string) {
	t.Helper()
	target, err := exec.LookPath(name)
	if err != nil {
		storetest.Lacks(t, name, err)
	}
	folder := t.TempDir()
	record := filepath.Join(folder, "arguments")
	script := fmt.Sprintf("#!/bin/sh\nprintf '%%s\\n' \"$@\" >> '%s'\nexec '%s' \"$@\"\n", record, target)
	if err := os.WriteFile(filepath.Join(folder, name), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return func() string {
		text, err := os.ReadFile(record)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}, "PATH=" + folder + string(os.PathListSeparator) + os.Getenv("PATH")
}

// TestTokensFile: a valid file revokes the tokens that it no longer lists, even if it lists none. A malformed file is
// counted and changes nothing.
func TestTokensFile(t *testing.T) {
	markConcurrent(t)
	anna, annas := newToken(t, "anna", "write")
	ben, bens := newToken(t, "ben", "read")
	path := filepath.Join(t.TempDir(), "tokens")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write("# nobody yet\n")
	p := startServer(t, newFile(t), "NOTES_AUTH=token", "NOTES_TOKENS_FILE="+path, "NOTES_ADMIN_ADDR=127.0.0.1:0")
	status := func(secret string) int {
		answer, _ := sendRequest(t, "GET", p.url+"/notes", "", "Authorization", "Bearer "+secret)
		return answer.StatusCode
	}
	becomes := func(secret string, want int) {
		t.Helper()
		await(t, fmt.Sprintf("an answer with status %d", want), 20*time.Second, func() bool {
			return status(secret) == want
		})
	}
	rejected := func(want float64) {
		t.Helper()
		if is, ok := readMetrics(t, p)["notes_tokens_file_rejected_total"][""]; !ok || is != want {
			t.Errorf("notes_tokens_file_rejected_total is %v, %v, want %v", is, ok, want)
		}
	}
	warning := "level=WARN msg=\"the file of tokens names no token"
	if got := status(anna); got != 401 || !strings.Contains(p.output(), warning) {
		t.Errorf("with an empty file: %d; the log is %s", got, p.output())
	}
	rejected(0)
	write(annas + "\n" + bens + "\n")
	becomes(anna, 200)
	becomes(ben, 200)
	write(annas + "\n")
	becomes(ben, 401)
	write("nonsense\n")
	await(t, "a rejection", 20*time.Second, func() bool {
		return status(anna) == 200 && strings.Contains(p.output(), "was rejected")
	})
	rejected(1)
	write("")
	becomes(anna, 401)
	rejected(1)
	write(annas + "\n")
	becomes(anna, 200)
	becomes(ben, 401)
	p.stop(t, os.Interrupt)
}

// TestUnfitTokensFile: the server refuses to start with a file that cannot hold tokens, and says what to do.
func TestUnfitTokensFile(t *testing.T) {
	folder := t.TempDir()
	fifo, wide, large := filepath.Join(folder, "fifo"), filepath.Join(folder, "wide"), filepath.Join(folder, "large")
	storetest.FIFO(t, fifo)
	for _, err := range []error{
		os.WriteFile(wide, []byte("\xff\xfea\x00\n\x00"), 0o600),
		os.WriteFile(large, nil, 0o600), os.Truncate(large, 1<<30),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, path, says string }{
		{"FIFO", fifo, "is not a regular file: name a text file"},
		{"folder", folder, "is not a regular file: name a text file"},
		{"device", os.DevNull, "is not a regular file: name a text file"},
		{"UTF-16", wide, "save it as UTF-8"},
		{"1 GiB", large, "has more than 1 MiB: name a file that holds only tokens"},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := []string{"NOTES_ADDR=127.0.0.1:0", "NOTES_STORE=bolt:" + newFile(t), "NOTES_AUTH=token"}
			code, _, stderr := runServer(t, append(env, "NOTES_TOKENS_FILE="+c.path))
			named := "NOTES_TOKENS_FILE: " + c.path + " "
			if code != 2 || !strings.Contains(stderr, named) || !strings.Contains(stderr, c.says) {
				t.Errorf("exit code %d, want 2 and %q: %s", code, c.says, stderr)
			}
		})
	}
}

// TestLocalNotes checks that a server which needs tokens warns of notes that were made without.
func TestLocalNotes(t *testing.T) {
	file := newFile(t)
	_, annas := newToken(t, "anna", "write")
	const warning = "made without NOTES_AUTH"
	p := startServer(t, file, "NOTES_AUTH=token", "NOTES_TOKENS="+annas)
	p.stop(t, syscall.SIGTERM)
	if strings.Contains(p.output(), warning) {
		t.Errorf("an empty store: %s", p.output())
	}
	p = startServer(t, file)
	if r, body := sendRequest(t, "POST", p.url+"/notes", `{"title":"mine"}`); r.StatusCode != 201 {
		t.Fatal(body)
	}
	p.stop(t, syscall.SIGTERM)
	p = startServer(t, file, "NOTES_AUTH=token", "NOTES_TOKENS="+annas)
	p.stop(t, syscall.SIGTERM)
	if !strings.Contains(p.output(), warning) {
		t.Errorf("the log is %s", p.output())
	}
}
