package facts

import (
	"net/url"
	"reflect"
	"testing"
	"time"

	"example.com/portable-notes/deploy/doctor"
)

// TestChanges: of the events in CloudTrail, the changes of the API and its functions are kept, newest first.
func TestChanges(t *testing.T) {
	answers := account()
	answers["LookupEvents"] = `{"Events":[
		{"EventTime":1796028000,"EventName":"UpdateFunctionCode","Username":"anna@example.com","ReadOnly":"false",
			"CloudTrailEvent":"{\"requestParameters\":{\"functionName\":\"notes\"}}"},
		{"EventTime":1796028060,"EventName":"GetFunction","Username":"anna","ReadOnly":"true",
			"CloudTrailEvent":"{\"requestParameters\":{\"functionName\":\"notes\"}}"},
		{"EventTime":1796028120,"EventName":"UpdateStage","Username":"ben","ReadOnly":"false",
			"CloudTrailEvent":"{\"requestParameters\":{\"apiId\":\"a1\"}}"},
		{"EventTime":1796028180,"EventName":"UpdateStage","Username":"ben","ReadOnly":"false",
			"CloudTrailEvent":"{\"requestParameters\":{\"apiId\":\"b2\"}}"}]}`
	u, err := url.Parse("http://127.0.0.1:1/_aws/execute-api/a1/dev/notes/1")
	if err != nil {
		t.Fatal(err)
	}
	c := Gather(t.Context(), served(t, answers), Inquiry{Method: "GET", URL: u, NoSend: true, Changes: true})
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
	stage := doctor.Change{At: at(1796028120), Event: "UpdateStage", Of: "a1", By: "ben"}
	code := doctor.Change{At: at(1796028000), Event: "UpdateFunctionCode", Of: "notes", By: masked}
	want := []doctor.Change{stage, stage, code, code} // both services return the same events
	if !reflect.DeepEqual(c.Changes.Or(), want) {
		t.Errorf("%+v", c.Changes)
	}
	delete(answers, "LookupEvents")
	c = Gather(t.Context(), served(t, answers), Inquiry{Method: "GET", URL: u, NoSend: true, Changes: true})
	if c.Changes.Error == nil {
		t.Errorf("%+v", c.Changes)
	}
}

// TestProgress: each call is reported as it is made.
func TestProgress(t *testing.T) {
	var reported []string
	c := Gather(t.Context(), served(t, account()), Inquiry{API: "a1", Progress: func(command string) {
		reported = append(reported, command)
	}})
	if len(reported) != len(c.Traced) || len(reported) == 0 {
		t.Errorf("%d of %d calls are reported", len(reported), len(c.Traced))
	}
}
