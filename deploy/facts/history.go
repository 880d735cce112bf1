package facts

import (
	"fmt"
	"time"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/doctor"
)

// window is the period over which requests are counted.
const window = time.Hour

// readHistory reads how many requests a stage received in the last hour, and how many of them failed ("Working with
// metrics for HTTP APIs", API Gateway developer guide). Metrics arrive a minute or two late.
func (g *gatherer) readHistory(d doctor.Diagnosis) {
	if d.Answer == nil || d.Answer.Status < 400 || d.Target.Stage == "" {
		return
	}
	failures := "5xx"
	if d.Answer.Status < 500 {
		failures = "4xx"
	}
	var queries []any
	for _, of := range [][2]string{{"all", "Count"}, {"failed", failures}} {
		id, name := of[0], of[1]
		queries = append(queries, map[string]any{"Id": id, "MetricStat": map[string]any{"Period": 60, "Stat": "Sum",
			"Metric": map[string]any{"Namespace": "AWS/ApiGateway", "MetricName": name, "Dimensions": []any{
				map[string]string{"Name": "ApiId", "Value": d.Target.API},
				map[string]string{"Name": "Stage", "Value": d.Target.Stage}}}}})
	}
	if d.Target.Function != "" {
		queries = append(queries, map[string]any{"Id": "throttled", "MetricStat": map[string]any{"Period": 60,
			"Stat": "Sum", "Metric": map[string]any{"Namespace": "AWS/Lambda", "MetricName": "Throttles",
				"Dimensions": []any{map[string]string{"Name": "FunctionName", "Value": d.Target.Function}}}}})
	}
	g.logCall("aws cloudwatch get-metric-data (requests of the last hour)")
	f := doctor.Fact[doctor.History]{Call: "cloudwatch:GetMetricData", Of: d.Target.Stage}
	now := time.Now()
	answer, err := g.cloud.Target(g.ctx, "monitoring", "GraniteServiceVersion20100801.GetMetricData", map[string]any{
		"MetricDataQueries": queries, "StartTime": now.Add(-window).Unix(), "EndTime": now.Unix()})
	var h doctor.History
	if err == nil {
		h, err = countRequests(answer)
	}
	if err != nil {
		f.Error = failureOf(err)
	} else {
		f.Value = &h
	}
	g.c.History = f
}

// countRequests adds up the minutes in an answer of GetMetricData.
func countRequests(answer any) (h doctor.History, err error) {
	var out struct {
		MetricDataResults []struct {
			ID         string `json:"Id"`
			Timestamps []any
			Values     []float64
		}
	}
	if err := cloud.Decode(answer, &out); err != nil {
		return h, err
	}
	all, failed := map[int64]float64{}, map[int64]float64{}
	for _, r := range out.MetricDataResults {
		for i := range min(len(r.Timestamps), len(r.Values)) {
			at, err := parseTime(r.Timestamps[i])
			if err != nil {
				return h, err
			}
			switch r.ID {
			case "all":
				all[at] += r.Values[i]
			case "failed":
				failed[at] += r.Values[i]
			default:
				h.Throttles += int(r.Values[i])
			}
		}
	}
	for _, at := range sortedTimes(all) {
		h.Requests, h.Failures = h.Requests+int(all[at]), h.Failures+int(failed[at])
		switch {
		case failed[at] < all[at]:
			h.Since = nil // some request succeeded
		case h.Since == nil && failed[at] > 0:
			since := time.Unix(at, 0).UTC()
			h.Since = &since
		}
	}
	return h, nil
}

// parseTime reads a time in AWS JSON, which is a number of seconds since 1970 or an RFC 3339 string, and returns the
// seconds.
func parseTime(value any) (int64, error) {
	switch v := value.(type) {
	case float64:
		return int64(v), nil
	case string:
		at, err := time.Parse(time.RFC3339, v)
		return at.Unix(), err
	}
	return 0, fmt.Errorf("%v is not a time", value)
}
