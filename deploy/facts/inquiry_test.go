package facts

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for _, c := range []struct {
		pasted, want string
		changed      Changes
	}{
		{"https://a1.execute-api.us-east-1.amazonaws.com/dev", "https://a1.execute-api.us-east-1.amazonaws.com/dev",
			Changes{}},
		{"<https://x.example/a>", "https://x.example/a", Changes{Removed: "<>"}},
		{" 'https://x.example' ", "https://x.example/", Changes{Removed: "''"}},
		{"https://<api-id>.example/x", "https://api-id.example/x", Changes{Removed: "<>"}},
		{"x.example/a", "https://x.example/a", Changes{Added: "https://"}},
		{"https://x.example/a b", "https://x.example/ab", Changes{Removed: " "}},
		{"ftp://x.example", "", Changes{}}, {"notes", "", Changes{}}, {"", "", Changes{}},
		{"https://%zz", "", Changes{}}, {"https:///x", "", Changes{}},
	} {
		t.Run(c.pasted, func(t *testing.T) {
			u, changed, err := ParseURL(c.pasted)
			if (err != nil) != (c.want == "") || err == nil && (u.String() != c.want || changed != c.changed) {
				t.Errorf("%v %q %v", u, changed, err)
			}
		})
	}
}

// TestCurl: a pasted curl command becomes the request that curl would send.
func TestCurl(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, []byte("line\nline"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name         string
		words        []string
		method, body string
		header       string // a name and its value
		fails        string
	}{
		{"plain", []string{"https://x.example/a"}, "GET", "", "", ""},
		{"data", []string{"-sSd", "{}", "https://x.example/a"}, "POST", "{}",
			"Content-Type application/x-www-form-urlencoded", ""},
		{"a method", []string{"-XPUT", "https://x.example/a", "--data-raw", "@x"}, "PUT", "@x", "", ""},
		{"JSON", []string{"--json", `{"a":1}`, "https://x.example/a"}, "POST", `{"a":1}`,
			"Content-Type application/json", ""},
		{"a file", []string{"-d", "@" + file, "https://x.example/a"}, "POST", "lineline", "", ""},
		{"a binary file", []string{"--data-binary", "@" + file, "https://x.example/a"}, "POST", "line\nline", "", ""},
		{"encoded", []string{"--data-urlencode", "q=a b", "https://x.example/a"}, "POST", "q=a+b", "", ""},
		{"head", []string{"-I", "https://x.example/a"}, "HEAD", "", "", ""},
		{"headers", []string{"https://x.example/a", "-H", "X-A: b:c", "-u", "a:b"}, "GET", "", "X-A b:c", ""},
		{"user", []string{"https://x.example/a", "-u", "a:b"}, "GET", "", "Authorization Basic YTpi", ""},
		{"query", []string{"-G", "-d", "a=1", "https://x.example/a"}, "GET", "", "", ""},
		{"a URL by name", []string{"--url", "https://x.example/a"}, "GET", "", "", ""},
		{"a missing file", []string{"-d", "@/nosuch", "https://x.example/a"}, "", "", "", "cannot be read"},
		{"an unknown flag", []string{"--frobnicate", "https://x.example/a"}, "", "", "", "--frobnicate"},
		{"a pipe", []string{"https://x.example/a", "|", "jq", "."}, "", "", "", "more than one command"},
		{"no URL", []string{"-X", "GET"}, "", "", "", "one URL"},
		{"two URLs", []string{"https://x.example/a", "https://x.example/b"}, "", "", "", "one URL"},
		{"a header without a colon", []string{"-H", "X", "https://x.example/a"}, "", "", "", "colon"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var a Inquiry
			err := a.Curl(c.words)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("%v, want %s", err, c.fails)
				}
				return
			}
			name, value, _ := strings.Cut(c.header, " ")
			if err != nil || a.Method != c.method || string(a.Body) != c.body || a.Headers.Get(name) != value {
				t.Errorf("%v: %+v %s", err, a, a.Body)
			}
			if c.name == "query" && a.URL.RawQuery != "a=1" {
				t.Errorf("the query is %s", a.URL.RawQuery)
			}
		})
	}
}

func TestLocate(t *testing.T) {
	for _, c := range []struct{ url, api, region, path string }{
		{"https://a1.execute-api.eu-west-1.amazonaws.com/dev/x", "a1", "eu-west-1", "/dev/x"},
		{"https://a1.execute-api.cn-north-1.amazonaws.com.cn/dev", "a1", "cn-north-1", "/dev"},
		{"https://a1-vpce-0f.execute-api.eu-west-1.amazonaws.com/dev", "a1", "eu-west-1", "/dev"},
		{"http://127.0.0.1:4566/_aws/execute-api/a1/dev/x", "a1", "", "/dev/x"},
		{"https://api.example.com/x", "", "", "/x"},
	} {
		t.Run(c.url, func(t *testing.T) {
			u, err := url.Parse(c.url)
			if err != nil {
				t.Fatal(err)
			}
			if api, region, path := locate(u); api != c.api || region != c.region || path != c.path {
				t.Errorf("%s %s %s", api, region, path)
			}
		})
	}
}
