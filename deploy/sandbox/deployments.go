package sandbox

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
)

// deployment is a deployment of an API.
type deployment struct {
	ID          string    `json:"deploymentId"`
	Auto        bool      `json:"autoDeployed"`
	Status      string    `json:"deploymentStatus"`
	CreatedDate time.Time `json:"createdDate"`
	snapshot    *snapshot
}

// snapshot is what a deployment holds of an API.
type snapshot struct {
	api          *apigatewayv2.GetApiOutput
	routes       []types.Route
	integrations map[string]types.Integration
	authorizers  map[string]*apigatewayv2.GetAuthorizerOutput
}

// noRoutes is API Gateway's message if an API cannot be deployed.
const noRoutes = "Unable to deploy API because no routes exist in this API"

var errNoRoutes = errors.New("the API has no routes")

// takeSnapshot reads the API, with its routes, integrations and authorizers.
func (s *Sandbox) takeSnapshot(ctx context.Context, region, api string) (*snapshot, error) {
	current, err := s.apis(region).GetApi(ctx, &apigatewayv2.GetApiInput{ApiId: &api})
	if err != nil {
		return nil, err
	}
	routes, err := s.apis(region).GetRoutes(ctx, &apigatewayv2.GetRoutesInput{ApiId: &api})
	if err != nil {
		return nil, err
	}
	integrations, err := s.apis(region).GetIntegrations(ctx, &apigatewayv2.GetIntegrationsInput{ApiId: &api})
	if err != nil {
		return nil, err
	}
	shot := &snapshot{api: current, routes: routes.Items, integrations: map[string]types.Integration{},
		authorizers: map[string]*apigatewayv2.GetAuthorizerOutput{}}
	for _, i := range integrations.Items {
		shot.integrations[*i.IntegrationId] = i
	}
	s.mu.Lock()
	state := s.apiStates[api]
	if state == nil {
		s.mu.Unlock()
		return nil, errNotFound // deleted meanwhile
	}
	ids := slices.Clone(state.authorizers)
	s.mu.Unlock()
	for _, id := range ids {
		if shot.authorizers[id], err = s.apis(region).GetAuthorizer(ctx, &apigatewayv2.GetAuthorizerInput{ApiId: &api,
			AuthorizerId: &id}); err != nil {
			return nil, err
		}
	}
	return shot, nil
}

// deploy makes a deployment of an API: for one stage; with "" for all stages with AutoDeploy, if there are any; with
// "-" for no stage.
func (s *Sandbox) deploy(c *call, api, only string) (*deployment, error) {
	s.deploying.Lock() // otherwise an older snapshot could replace a newer one
	defer s.deploying.Unlock()
	shot, err := s.takeSnapshot(c.Context(), c.Region, api)
	if err != nil {
		return nil, err
	}
	if len(shot.routes) == 0 {
		if only != "" {
			return nil, errNoRoutes
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if a := s.apiStates[api]; a != nil {
			for name, g := range a.stages {
				if g.AutoDeploy {
					after := *g
					after.LastDeploymentStatusMessage = "Deployment attempt failed: " + noRoutes
					a.stages[name] = &after
				}
			}
		}
		return nil, nil
	}
	d := &deployment{ID: requestID()[:6], Auto: only == "", Status: "DEPLOYED", CreatedDate: time.Now().UTC(),
		snapshot: shot}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, used := s.apiStates[api], only == "-"
	if a == nil {
		return nil, errNotFound
	}
	for name, g := range a.stages {
		if name == only || only == "" && g.AutoDeploy {
			after := *g
			after.deployed, after.DeploymentID, used = shot, d.ID, true
			if after.LastDeploymentStatusMessage = ""; d.Auto {
				after.LastDeploymentStatusMessage = "Successfully deployed stage with deployment ID '" + d.ID + "'"
			}
			a.stages[name] = &after
		}
	}
	if used {
		a.deployments = append([]*deployment{d}, a.deployments...)
	}
	return d, nil
}

func createDeployment(s *Sandbox, c *call, a *apiState) answer {
	var in struct{ StageName string }
	c.decode(&in)
	s.mu.Lock()
	g := a.stages[in.StageName]
	s.mu.Unlock()
	switch {
	case in.StageName == "":
		in.StageName = "-"
	case g == nil:
		return c.refuse(http.StatusNotFound, "NotFoundException", "Invalid stage identifier specified")
	case g.AutoDeploy:
		return c.refuse(http.StatusBadRequest, "BadRequestException", "Deployment ID cannot be set on a stage with "+
			"AutoDeploy enabled")
	}
	d, err := s.deploy(c, c.PathValue("api"), in.StageName)
	if errors.Is(err, errNoRoutes) {
		return c.refuse(http.StatusBadRequest, "BadRequestException", noRoutes)
	}
	if err != nil {
		return c.refuse(http.StatusInternalServerError, "InternalServerErrorException", "%v", err)
	}
	return jsonAnswer(http.StatusCreated, d)
}

func getDeployments(s *Sandbox, _ *call, a *apiState) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return jsonAnswer(http.StatusOK, map[string]any{"items": append([]*deployment{}, a.deployments...)})
}

func deleteDeployment(s *Sandbox, c *call, a *apiState) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := c.PathValue("id")
	for _, g := range a.stages {
		if g.DeploymentID == id {
			return c.refuse(http.StatusBadRequest, "BadRequestException", "Active stages pointing to this deployment "+
				"must be moved or deleted")
		}
	}
	before := len(a.deployments)
	if a.deployments = slices.DeleteFunc(a.deployments, func(d *deployment) bool { return d.ID == id }); len(
		a.deployments) == before {
		return c.refuse(http.StatusNotFound, "NotFoundException", "Invalid deployment identifier specified")
	}
	return answer{status: http.StatusNoContent}
}

func getDeployment(s *Sandbox, c *call, a *apiState) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range a.deployments {
		if d.ID == c.PathValue("id") {
			return jsonAnswer(http.StatusOK, d)
		}
	}
	return c.refuse(http.StatusNotFound, "NotFoundException", "Invalid deployment identifier specified")
}
