package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"golang.org/x/time/rate"
)

// apiState is the sandbox's own state of an API: stages and deployments, which moto lacks, and the IDs of the
// authorizers, which moto cannot list.
type apiState struct {
	region      string
	stages      map[string]*stage
	deployments []*deployment
	authorizers []string
	decisions   *sync.Map // cached answers of Lambda authorizers
}

// stage is a stage of an API, with the JSON names of API Gateway. A stored stage is immutable.
type stage struct {
	StageName                   *string              `json:"stageName"`
	AutoDeploy                  bool                 `json:"autoDeploy"`
	DeploymentID                string               `json:"deploymentId,omitempty"`
	Description                 string               `json:"description,omitempty"`
	StageVariables              map[string]string    `json:"stageVariables"`
	DefaultRouteSettings        *throttle            `json:"defaultRouteSettings"`
	RouteSettings               map[string]*throttle `json:"routeSettings"`
	AccessLogSettings           *accessLog           `json:"accessLogSettings,omitempty"`
	LastDeploymentStatusMessage string               `json:"lastDeploymentStatusMessage,omitempty"`
	Tags                        map[string]string    `json:"tags"`
	CreatedDate                 time.Time            `json:"createdDate"`
	LastUpdatedDate             time.Time            `json:"lastUpdatedDate"`
	deployed                    *snapshot            // what the stage serves; nil for nothing
	limits                      *sync.Map            // *rate.Limiter by route key
}

// throttle holds the settings of a stage or a route. If only one of Rate and Burst is set, the other counts as 0.
type throttle struct {
	Rate    *float64 `json:"throttlingRateLimit,omitempty"`
	Burst   *int     `json:"throttlingBurstLimit,omitempty"`
	Metrics bool     `json:"detailedMetricsEnabled"`
}

type accessLog struct {
	DestinationArn string `json:"destinationArn"`
	Format         string `json:"format"`
}

// regionOf returns the region of an API, or the sandbox's own for an unknown API.
func (s *Sandbox) regionOf(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.apiStates[id]; a != nil {
		return a.region
	}
	return s.region
}

// stage returns a stage of an API, or nil if it does not exist.
func (s *Sandbox) stage(api, name string) *stage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.apiStates[api]; a != nil {
		return a.stages[name]
	}
	return nil
}

// allows reports whether the stage's throttling allows another request to a route.
func (g *stage) allows(key string) bool {
	t := g.RouteSettings[key]
	if t == nil {
		t, key = g.DefaultRouteSettings, ""
	}
	if t == nil || t.Rate == nil && t.Burst == nil {
		return true
	}
	limit, burst := 0.0, 0
	if t.Rate != nil {
		limit = *t.Rate
	}
	if t.Burst != nil {
		burst = *t.Burst
	}
	limiter, _ := g.limits.LoadOrStore(key, rate.NewLimiter(rate.Limit(limit), burst))
	return limit > 0 && limiter.(*rate.Limiter).Allow()
}

// withAPI adapts a handler of calls about stages or deployments. It refuses calls whose API does not exist.
func withAPI(handle func(s *Sandbox, c *call, a *apiState) answer) func(*Sandbox, *call) answer {
	return func(s *Sandbox, c *call) answer {
		s.mu.Lock()
		a := s.apiStates[c.PathValue("api")]
		s.mu.Unlock()
		if a == nil || a.region != c.Region {
			return c.refuse(http.StatusNotFound, "NotFoundException", "Invalid API identifier specified %s:%s", Account,
				c.PathValue("api"))
		}
		return handle(s, c, a)
	}
}

// withStage adapts a handler of calls about a stage. It refuses calls whose stage does not exist, and holds s.mu during
// the others.
func withStage(handle func(s *Sandbox, c *call, a *apiState, g *stage) answer) func(*Sandbox, *call) answer {
	return withAPI(func(s *Sandbox, c *call, a *apiState) answer {
		s.mu.Lock()
		defer s.mu.Unlock()
		if g := a.stages[c.PathValue("id")]; g != nil {
			return handle(s, c, a, g)
		}
		return c.refuse(http.StatusNotFound, "NotFoundException", "Invalid stage identifier specified")
	})
}

var stageNamePattern = regexp.MustCompile(`^(\$default|[a-zA-Z0-9_-]{1,128})$`)

func createStage(s *Sandbox, c *call, a *apiState) answer {
	g := &stage{CreatedDate: time.Now().UTC()}
	if refusal := s.applyStage(c, a, g); refusal.status != 0 {
		return refusal
	}
	name := *orEmpty(g.StageName)
	if !stageNamePattern.MatchString(name) {
		return c.refuse(http.StatusBadRequest, "BadRequestException", "Stage name only allows a-zA-Z0-9_- and $default")
	}
	s.mu.Lock()
	exists := a.stages[name] != nil
	if !exists {
		a.stages[name] = g
	}
	s.mu.Unlock()
	if exists {
		return c.refuse(http.StatusConflict, "ConflictException", "Stage already exists")
	}
	return s.answerStage(c, a, name, http.StatusCreated)
}

func updateStage(s *Sandbox, c *call, a *apiState) answer {
	name := c.PathValue("id")
	if refusal := s.replaceStage(c, a, name); refusal.status != 0 {
		return refusal
	}
	return s.answerStage(c, a, name, http.StatusOK)
}

// replaceStage replaces a stage by one with the changes of a call.
func (s *Sandbox) replaceStage(c *call, a *apiState, name string) answer {
	s.deploying.Lock()
	defer s.deploying.Unlock()
	s.mu.Lock()
	g := a.stages[name]
	s.mu.Unlock()
	if g == nil {
		return c.refuse(http.StatusNotFound, "NotFoundException", "Invalid stage identifier specified")
	}
	after := *g
	after.StageVariables, after.RouteSettings = maps.Clone(g.StageVariables), maps.Clone(g.RouteSettings)
	if refusal := s.applyStage(c, a, &after); refusal.status != 0 {
		return refusal
	}
	after.StageName = g.StageName
	s.mu.Lock()
	defer s.mu.Unlock()
	a.stages[name] = &after
	return answer{}
}

// applyStage sets the fields of a stage that a call gives.
func (s *Sandbox) applyStage(c *call, a *apiState, g *stage) answer {
	given := map[string]json.RawMessage{}
	c.decode(&given)
	if given["defaultRouteSettings"] != nil { // replaced as a whole
		g.DefaultRouteSettings = nil
	}
	if given["accessLogSettings"] != nil {
		g.AccessLogSettings = nil
	}
	if err := json.Unmarshal(c.body, g); err != nil {
		return c.refuse(http.StatusBadRequest, "BadRequestException", "Invalid request body: %v", err)
	}
	g.LastUpdatedDate, g.limits = time.Now().UTC(), &sync.Map{}
	maps.DeleteFunc(g.StageVariables, func(_, value string) bool { return value == "" })
	if given["deploymentId"] != nil {
		s.mu.Lock()
		i := slices.IndexFunc(a.deployments, func(d *deployment) bool { return d.ID == g.DeploymentID })
		if i >= 0 {
			g.deployed = a.deployments[i].snapshot
		}
		s.mu.Unlock()
		if i < 0 {
			return c.refuse(http.StatusBadRequest, "BadRequestException", "Deployment id does not exist")
		}
	}
	if l := g.AccessLogSettings; l != nil && given["accessLogSettings"] != nil {
		if !strings.Contains(l.Format, "$context.requestId") && !strings.Contains(l.Format,
			"$context.extendedRequestId") {
			return c.refuse(http.StatusBadRequest, "BadRequestException",
				"Access log format must contain $context.requestId or $context.extendedRequestId")
		}
		l.DestinationArn = strings.TrimSuffix(l.DestinationArn, ":*") // with which CloudFormation's GetAtt ends
		group, ok := s.logGroup(c.Context(), l.DestinationArn)
		if !ok {
			return c.refuse(http.StatusBadRequest, "BadRequestException", "The access log's destination %s is not "+
				"the ARN of an existing log group", group)
		}
	}
	return answer{}
}

// logGroup returns the name in the ARN of a log group, and whether that group exists. For any other ARN it returns the
// ARN.
func (s *Sandbox) logGroup(ctx context.Context, arn string) (string, bool) {
	parts := strings.SplitN(arn, ":", 7)
	if len(parts) != 7 || parts[2] != "logs" || parts[5] != "log-group" {
		return arn, false
	}
	groups, err := s.logs(parts[3]).DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{
		LogGroupNamePrefix: &parts[6]})
	if err != nil {
		return arn, false
	}
	for _, group := range groups.LogGroups {
		if *group.LogGroupName == parts[6] {
			return parts[6], true
		}
	}
	return arn, false
}

// answerStage answers with a stage. It deploys the stage first if that has AutoDeploy.
func (s *Sandbox) answerStage(c *call, a *apiState, name string, status int) answer {
	s.mu.Lock()
	g := a.stages[name]
	s.mu.Unlock()
	if g.AutoDeploy {
		if _, err := s.deploy(c, c.PathValue("api"), ""); err != nil {
			return c.refuse(http.StatusInternalServerError, "InternalServerErrorException", "%v", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return jsonAnswer(status, a.stages[name])
}

func getStage(_ *Sandbox, _ *call, _ *apiState, g *stage) answer {
	return jsonAnswer(http.StatusOK, g)
}

func getStages(s *Sandbox, c *call, a *apiState) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []*stage{}
	for _, name := range sortedKeys(a.stages) {
		all = append(all, a.stages[name])
	}
	return jsonAnswer(http.StatusOK, map[string]any{"items": all})
}

func deleteStage(_ *Sandbox, c *call, a *apiState, g *stage) answer {
	delete(a.stages, *g.StageName)
	return answer{status: http.StatusNoContent}
}

func deleteAccessLogSettings(_ *Sandbox, _ *call, a *apiState, g *stage) answer {
	after := *g
	after.AccessLogSettings = nil
	a.stages[*g.StageName] = &after
	return answer{status: http.StatusNoContent}
}

func deleteRouteSettings(_ *Sandbox, c *call, a *apiState, g *stage) answer {
	after := *g
	after.RouteSettings, after.limits = maps.Clone(g.RouteSettings), &sync.Map{}
	delete(after.RouteSettings, c.PathValue("key"))
	a.stages[*g.StageName] = &after
	return answer{status: http.StatusNoContent}
}

// stageTags answers calls about the tags of a stage, whose ARN is
// arn:PARTITION:apigateway:REGION::/apis/API-ID/stages/STAGE.
func stageTags(s *Sandbox, c *call) answer {
	arn, err := url.PathUnescape(c.PathValue("arn"))
	_, rest, ok := strings.Cut(arn, "/apis/")
	api, name, isStage := strings.Cut(rest, "/stages/")
	if err != nil || !ok || !isStage {
		return s.forward(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.apiStates[api]
	if a == nil || a.stages[name] == nil {
		return c.refuse(http.StatusNotFound, "NotFoundException", "Invalid stage identifier specified")
	}
	after := *a.stages[name]
	after.Tags = maps.Clone(after.Tags)
	switch c.Operation {
	case "GetTags":
		return jsonAnswer(http.StatusOK, map[string]any{"tags": after.Tags})
	case "TagResource":
		c.decode(&after)
	case "UntagResource":
		for _, key := range c.URL.Query()["tagKeys"] {
			delete(after.Tags, key)
		}
	}
	a.stages[name] = &after
	return answer{status: http.StatusNoContent}
}

// contextVariable matches a variable in the format of an access log.
var contextVariable = regexp.MustCompile(`\$context\.(?:authorizer\.claims\.[\w:]+|[A-Za-z]\w*(?:\.\w+)*)`)

// writeAccessLog writes the request's line to the access log of the stage.
func (x *exchange) writeAccessLog(status, length int) {
	if x.api == nil || x.stage == nil || x.stage.AccessLogSettings == nil {
		return // a stage without a deployment logs nothing either
	}
	x.log["status"], x.log["responseLength"] = fmt.Sprint(status), fmt.Sprint(length)
	x.setContextVariables()
	line := contextVariable.ReplaceAllStringFunc(x.stage.AccessLogSettings.Format, func(name string) string {
		if value := x.contextValue(strings.TrimPrefix(name, "$context.")); value != "" {
			return strings.NewReplacer(`"`, `\"`, "\n", " ").Replace(value)
		}
		return "-"
	})
	_, group, _ := strings.Cut(x.stage.AccessLogSettings.DestinationArn, ":log-group:")
	x.s.sink.write(stream{region: x.region, group: group, name: "sandbox-" + *x.api.ApiId}, line)
}

// setContextVariables sets the $context variables that are known so far ("Customize HTTP API access logs").
func (x *exchange) setContextVariables() {
	key := "-"
	if x.route != nil {
		key = *x.route.RouteKey
	}
	maps.Copy(x.log, map[string]string{
		"accountId": Account, "apiId": *x.api.ApiId, "stage": *x.stage.StageName, "domainName": x.domain(),
		"domainPrefix": strings.SplitN(x.domain(), ".", 2)[0], "requestId": x.id, "extendedRequestId": x.id,
		"httpMethod": x.r.Method, "path": x.path, "protocol": x.r.Proto, "routeKey": key,
		"identity.sourceIp": x.sourceIP(), "identity.userAgent": x.r.UserAgent(), "requestTime": clfTime(x.began),
		"requestTimeEpoch": fmt.Sprint(x.began.UnixMilli()),
		"responseLatency":  fmt.Sprint(time.Since(x.began).Milliseconds()),
	})
	for name, same := range map[string]string{
		"integration.error": "integrationErrorMessage", "integration.latency": "integrationLatency",
		"integration.integrationStatus": "integrationStatus", "integration.status": "integration.functionStatus",
		"error.messageString": "error.message",
	} {
		x.log[name] = x.log[same]
	}
}
