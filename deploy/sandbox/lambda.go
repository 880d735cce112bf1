package sandbox

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"example.com/portable-notes/deploy/policy"
)

// accountConcurrency is an account's concurrency, and minUnreserved the part that functions cannot reserve.
const accountConcurrency, minUnreserved = 1000, 100

func checkConcurrency(_ *Sandbox, c *call, next func() answer) answer {
	var in struct{ ReservedConcurrentExecutions int }
	if json.Unmarshal(c.body, &in) == nil && in.ReservedConcurrentExecutions > accountConcurrency-minUnreserved {
		return c.refuse(http.StatusBadRequest, "InvalidParameterValueException",
			"Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "+
				"below its minimum value of [%d].", minUnreserved)
	}
	return next()
}

func accountSettings(s *Sandbox, _ *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return jsonAnswer(http.StatusOK, map[string]any{
		"AccountLimit": map[string]any{"ConcurrentExecutions": accountConcurrency,
			"UnreservedConcurrentExecutions": accountConcurrency, "CodeSizeUnzipped": 262144000,
			"CodeSizeZipped": 52428800,
			"TotalCodeSize":  80530636800},
		"AccountUsage": map[string]any{"FunctionCount": len(s.functions), "TotalCodeSize": 0},
	})
}

// dropWithFunction removes the sandbox's own state of a deleted function or alias.
func dropWithFunction(s *Sandbox, c *call, next func() answer) answer {
	a := next()
	if a.ok() {
		name, qualifier := c.function()
		if alias := c.PathValue("alias"); alias != "" {
			qualifier = alias
		}
		s.dropPolicies(c.Region, name, qualifier)
		s.dropURLs(c.Region, name, qualifier)
		if qualifier == "" {
			s.mu.Lock()
			delete(s.functions, resource{c.Region, name})
			s.mu.Unlock()
			s.runner.Drop(c.Region, name)
		}
	}
	return a
}

// functionInput holds the fields of a call about a function that the sandbox reads.
type functionInput struct {
	FunctionName, Role, ZipFile, S3Bucket, S3Key string
	DryRun                                       bool
}

func (c *call) functionInput() (in functionInput) {
	c.decode(&in)
	if name, _ := c.function(); name != "" {
		in.FunctionName = name
	}
	return in
}

// checkRole refuses a role that Lambda cannot assume, or cannot assume yet.
func checkRole(s *Sandbox, c *call, next func() answer) answer {
	in := c.functionInput()
	if in.Role == "" {
		return next()
	}
	s.mu.Lock()
	young := time.Since(s.roleChanged[baseName(in.Role)]) < s.options.RoleDelay
	s.mu.Unlock()
	if why := s.assumeRefusal(c.Context(), in.Role, policy.Lambda); young || why != "" {
		return c.refuse(http.StatusBadRequest, "InvalidParameterValueException",
			"The role defined for the function cannot be assumed by Lambda.")
	}
	before, _ := s.configuration(c.Context(), c.Region, in.FunctionName, "") // nil for a new function
	a := next()
	if r, err := s.readRole(c.Context(), in.Role); a.ok() && err == nil &&
		(before == nil || *before.Role != in.Role) {
		s.mu.Lock()
		s.state(c.Region, in.FunctionName).roleID = r.id
		s.mu.Unlock()
	}
	return a
}

// checkSettled refuses changes to a function that is pending or being updated, and records the time of other changes.
func checkSettled(s *Sandbox, c *call, next func() answer) answer {
	name := c.functionInput().FunctionName
	s.mu.Lock()
	state := s.state(c.Region, name)
	pending := time.Since(state.created) < s.options.Settling
	changing := time.Since(state.changed) < s.options.Settling
	s.mu.Unlock()
	switch {
	case c.Operation == "CreateFunction":
	case pending:
		return c.refuse(http.StatusConflict, "ResourceConflictException",
			"The operation cannot be performed at this time. The function is currently in the following state: Pending")
	case changing:
		return c.refuse(http.StatusConflict, "ResourceConflictException",
			"The operation cannot be performed at this time. An update is in progress for resource: %s",
			functionARN(c.Region, name, ""))
	}
	a := next()
	if a.ok() && c.Operation != "PublishVersion" {
		s.mu.Lock()
		defer s.mu.Unlock()
		state := s.state(c.Region, name)
		if state.changed = time.Now(); c.Operation == "CreateFunction" {
			state.created, state.changed = time.Now(), time.Time{}
		}
	}
	return a
}

// showState sets the state in answers. It wraps checkSettled, which records the changes that it shows.
func showState(s *Sandbox, c *call, next func() answer) answer {
	return next().edit(func(body map[string]any) {
		config, ok := body["Configuration"].(map[string]any)
		if !ok {
			config = body
		} else if code, ok := body["Code"].(map[string]any); ok {
			code["RepositoryType"], code["Location"] = "S3",
				s.URL+codePath+url.PathEscape(fmt.Sprint(config["CodeSha256"]))
		}
		if config["Version"] != "$LATEST" {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		state := s.state(c.Region, fmt.Sprint(config["FunctionName"]))
		config["State"], config["LastUpdateStatus"] = "Active", "Successful"
		if time.Since(state.created) < s.options.Settling {
			config["State"], config["StateReasonCode"], config["StateReason"] = "Pending", "Creating",
				"The function is being created."
			config["LastUpdateStatus"] = "InProgress"
		} else if time.Since(state.changed) < s.options.Settling {
			config["LastUpdateStatus"], config["LastUpdateStatusReasonCode"] = "InProgress", "Creating"
		}
		if staged, ok := stagedStates[state.staged.kind]; ok && staged.shown != nil {
			staged.shown(config, state.staged.reason)
		}
		if !state.changed.IsZero() {
			config["LastModified"] = state.changed.UTC().Format("2006-01-02T15:04:05.000-0700")
		}
	})
}

// trackArchitectures records the architectures that a call sets, and shows them in answers.
func trackArchitectures(s *Sandbox, c *call, next func() answer) answer {
	var in struct {
		Architectures any
		DryRun        bool
	}
	c.decode(&in)
	return next().edit(func(body map[string]any) {
		config, ok := body["Configuration"].(map[string]any)
		if !ok {
			config = body
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		state, version := s.state(c.Region, fmt.Sprint(config["FunctionName"])), fmt.Sprint(config["Version"])
		if state.architectures == nil {
			state.architectures = map[string]any{}
		}
		if c.Operation == "UpdateFunctionCode" && in.Architectures != nil && !in.DryRun {
			state.architectures["$LATEST"] = in.Architectures
		}
		if latest := state.architectures["$LATEST"]; latest != nil && state.architectures[version] == nil {
			if c.Operation == "PublishVersion" || c.Operation == "UpdateFunctionCode" {
				state.architectures[version] = latest
			}
		}
		if set := state.architectures[version]; set != nil {
			config["Architectures"] = set
		}
	})
}

// storeCode stores the zip of a function. It refuses one that is not in S3.
func storeCode(s *Sandbox, c *call, next func() answer) answer {
	var in struct {
		functionInput
		Code functionInput
	}
	c.decode(&in)
	code := in.Code
	if c.Operation == "UpdateFunctionCode" {
		code = in.functionInput
	}
	packed, err := s.uploaded(c, code.ZipFile, code.S3Bucket, code.S3Key)
	if err != nil && code.S3Bucket != "" {
		return c.refuse(http.StatusBadRequest, "InvalidParameterValueException",
			"Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: %v", err)
	}
	a := next()
	var config struct{ CodeSha256 string }
	if a.ok() && err == nil && json.Unmarshal(a.body, &config) == nil {
		s.mu.Lock()
		s.code[config.CodeSha256] = packed
		s.mu.Unlock()
	}
	return a
}

// reservedVariables are the variables that a function cannot set ("Defined runtime environment variables", Lambda
// developer guide).
var reservedVariables = []string{"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID",
	"AWS_DEFAULT_REGION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME",
	"AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME",
	"AWS_LAMBDA_LOG_STREAM_NAME",
	"AWS_LAMBDA_RUNTIME_API", "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "LAMBDA_RUNTIME_DIR",
	"LAMBDA_TASK_ROOT"}

func checkConfiguration(_ *Sandbox, c *call, next func() answer) answer {
	var in struct {
		Runtime, Handler, PackageType string
		Timeout                       int
		MemorySize                    *int
		Environment                   struct{ Variables map[string]string }
	}
	c.decode(&in)
	var used []string
	for _, name := range reservedVariables {
		if _, ok := in.Environment.Variables[name]; ok {
			used = append(used, name)
		}
	}
	switch {
	case used != nil:
		return c.refuse(http.StatusBadRequest, "InvalidParameterValueException",
			"Lambda was unable to configure your environment variables because the environment variables you have "+
				"provided contains reserved keys that are currently not supported for modification. Reserved keys "+
				"used in this request: %s", strings.Join(used, ", "))
	case in.Runtime == "go1.x" || in.Runtime == "provided":
		return c.refuse(http.StatusBadRequest, "InvalidParameterValueException",
			"The runtime parameter of %s is no longer supported for creating or updating AWS Lambda functions. We "+
				"recommend you use a supported runtime while creating or updating functions.", in.Runtime)
	case in.Runtime != "" && !slices.Contains(types.Runtime("").Values(), types.Runtime(in.Runtime)):
		return c.refuse(http.StatusBadRequest, "ValidationException", "1 validation error detected: Value '%s' at "+
			"'runtime' failed to satisfy constraint: Member must satisfy enum value set: %v", in.Runtime,
			types.Runtime("").Values())
	case c.Operation == "CreateFunction" && in.PackageType != "Image" && (in.Runtime == "" || in.Handler == ""):
		return c.refuse(http.StatusBadRequest, "InvalidParameterValueException", "Runtime and Handler are mandatory "+
			"parameters for functions created with deployment packages.")
	case in.MemorySize != nil && (*in.MemorySize < 128 || *in.MemorySize > 10_240):
		return c.refuse(http.StatusBadRequest, "ValidationException", "1 validation error detected: Value '%d' at "+
			"'memorySize' failed to satisfy constraint: Member must have value between 128 and 10240", *in.MemorySize)
	case in.Timeout > 900:
		return c.refuse(http.StatusBadRequest, "ValidationException", "1 validation error detected: Value '%d' at "+
			"'timeout' failed to satisfy constraint: Member must have value less than or equal to 900", in.Timeout)
	}
	return next()
}

// storeLayer stores the zip of a layer version.
func storeLayer(s *Sandbox, c *call, next func() answer) answer {
	a := next()
	var in struct {
		Content struct{ ZipFile, S3Bucket, S3Key string }
	}
	var made struct {
		LayerVersionArn string
		Content         struct{ CodeSha256 string }
	}
	c.decode(&in)
	packed, err := s.uploaded(c, in.Content.ZipFile, in.Content.S3Bucket, in.Content.S3Key)
	if a.ok() && err == nil && json.Unmarshal(a.body, &made) == nil {
		s.mu.Lock()
		s.code[made.Content.CodeSha256], s.layers[made.LayerVersionArn] = packed, made.Content.CodeSha256
		s.mu.Unlock()
	}
	return a
}

// localLayer replaces the location of a layer version's zip by an address of the sandbox.
func localLayer(s *Sandbox, _ *call, next func() answer) answer {
	return next().edit(func(body map[string]any) {
		if content, ok := body["Content"].(map[string]any); ok {
			content["Location"] = s.URL + codePath + url.PathEscape(fmt.Sprint(content["CodeSha256"]))
		}
	})
}

// uploaded returns the zip that a call contains, or that it names in S3.
func (s *Sandbox) uploaded(c *call, zip, bucket, key string) ([]byte, error) {
	if bucket == "" {
		return base64.StdEncoding.DecodeString(zip)
	}
	header := http.Header{"Authorization": {strings.Replace(c.Header.Get("Authorization"), "/lambda/", "/s3/", 1)}}
	object, err := s.moto.do(c.Context(), http.MethodGet, "/"+bucket+"/"+(&url.URL{Path: key}).EscapedPath(), header,
		nil)
	if err == nil && !object.ok() {
		err = fmt.Errorf("s3://%s/%s does not exist", bucket, key)
	}
	return object.body, err
}
