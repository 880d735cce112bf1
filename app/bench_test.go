package app_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/labstack/echo/v4"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/about"
	"example.com/portable-notes/notes/dynamo"
	"example.com/portable-notes/notes/dynamo/dynamotest"
)

// BenchmarkGetOnDynamoDB compares GET /notes/{id} over HTTP with the GetItem call that it makes, on DynamoDB Local.
func BenchmarkGetOnDynamoDB(b *testing.B) {
	cfg := dynamotest.Config(b)
	table := dynamotest.NewTable(b, cfg)
	store, err := dynamo.Open(b.Context(), cfg, table, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	h, _ := newApp(store, app.Options{})
	server := httptest.NewServer(h)
	defer server.Close()
	made, err := http.Post(server.URL+"/notes", "application/json",
		strings.NewReader(`{"title":"x","content":"`+strings.Repeat("c", 300)+`"}`))
	if err != nil {
		b.Fatal(err)
	}
	made.Body.Close()
	location := made.Header.Get("Location")
	client := dynamodb.NewFromConfig(cfg)
	key := map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: "O#local"},
		"sk": &types.AttributeValueMemberS{Value: "N#" +
			strings.ReplaceAll(strings.TrimPrefix(location, "/notes/"), "-", "")},
	}
	round := func(call func() error) float64 {
		const calls = 500
		begin := time.Now()
		for range calls {
			if err := call(); err != nil {
				b.Fatal(err)
			}
		}
		return float64(time.Since(begin).Microseconds()) / calls
	}
	whole := func() error {
		answer, err := http.Get(server.URL + location)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != 200 {
			return fmt.Errorf("%s: %w", answer.Status, err)
		}
		return nil
	}
	bare := func() error {
		out, err := client.GetItem(b.Context(), &dynamodb.GetItemInput{
			TableName: &table, Key: key, ConsistentRead: aws.Bool(true)})
		if err == nil && out.Item == nil {
			err = fmt.Errorf("no item")
		}
		return err
	}
	round(whole)
	round(bare)
	var ratios []float64
	for b.Loop() {
		w, i := round(whole), round(bare)
		ratios = append(ratios, w/i)
		b.ReportMetric(w, "µs/GET")
		b.ReportMetric(i, "µs/GetItem")
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "GET/GetItem")
}

// newBenchApp returns an app on a file with 40 notes of 250 bytes, and the path of one of them.
func newBenchApp(b *testing.B) (e *echo.Echo, path string) {
	b.Helper()
	service := newService(b)
	e = app.New(service, app.Options{MaxInFlight: 48 << 20})
	about.Mount(e, "", false, about.Version{}, func() error { return nil }, service.Ready)
	note := `{"title":"a title","tags":["home","work"],"content":"` + strings.Repeat("c", 235) + `"}`
	for range 40 {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", "/notes", strings.NewReader(note))
		r.Header.Set("Content-Type", "application/json")
		e.ServeHTTP(w, r)
		path = w.Header().Get("Location")
	}
	return e, path
}

// BenchmarkList measures a list of 20, and beside it one note and a search through 40, in process, on a file.
func BenchmarkList(b *testing.B) {
	e, path := newBenchApp(b)
	for _, route := range []struct{ name, path string }{
		{"note", path}, {"list", "/notes?limit=20"}, {"search", "/notes?q=nothing"},
	} {
		b.Run(route.name, func(b *testing.B) {
			b.ReportAllocs()
			r := httptest.NewRequest("GET", route.path, nil)
			w := &discardResponse{header: http.Header{}}
			for b.Loop() {
				clear(w.header)
				e.ServeHTTP(w, r)
			}
		})
	}
}

// BenchmarkRoutes compares the cost of each route with that of GET /notes/{id}, in process, on a file.
func BenchmarkRoutes(b *testing.B) {
	e, path := newBenchApp(b)
	routes := []struct{ name, method, path, encoding string }{
		{"note", "GET", path, ""}, {"list-of-20", "GET", "/notes", ""}, {"healthz", "GET", "/healthz", ""},
		{"readyz", "GET", "/readyz", ""}, {"version", "GET", "/version", ""}, {"openapi", "GET", "/openapi.json", ""},
		{"docs", "GET", "/docs", ""}, {"bundle-HEAD", "HEAD", "/docs/swagger-ui-bundle.js", ""},
		{"bundle-gzip", "GET", "/docs/swagger-ui-bundle.js", "gzip"}, {
			"bundle-plain", "GET", "/docs/swagger-ui-bundle.js", ""},
		{"icon", "GET", "/docs/favicon-32x32.png", ""}, {"nothing", "GET", "/nothing", ""}, {"405", "POST", path, ""},
		{"OPTIONS", "OPTIONS", "/notes", ""},
	}
	ratios := map[string][]float64{}
	for b.Loop() {
		took := map[string]float64{}
		for _, route := range routes {
			r := httptest.NewRequest(route.method, route.path, nil)
			r.Header.Set("Accept-Encoding", route.encoding)
			const calls = 1000
			begin := time.Now()
			for range calls {
				e.ServeHTTP(&discardResponse{header: http.Header{}}, r.Clone(r.Context()))
			}
			took[route.name] = float64(time.Since(begin)) / calls
			ratios[route.name] = append(ratios[route.name], took[route.name]/took["note"])
		}
	}
	for _, route := range routes {
		slices.Sort(ratios[route.name])
		b.ReportMetric(ratios[route.name][len(ratios[route.name])/2], route.name+"/note")
	}
}

// discardResponse is an http.ResponseWriter that discards the response at no cost.
type discardResponse struct{ header http.Header }

func (d *discardResponse) Header() http.Header         { return d.header }
func (d *discardResponse) Write(b []byte) (int, error) { return len(b), nil }
func (d *discardResponse) WriteHeader(int)             {}
