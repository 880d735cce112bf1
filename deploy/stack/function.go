package stack

import (
	"cmp"
	"fmt"
	"maps"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"example.com/portable-notes/deploy/call"
)

// defaultMemory is the memory of a new function, MB.
const defaultMemory = 256

// Function is the step of the function.
func (s Stack) Function() Step {
	name := &s.Name
	environment := map[string]string{"NOTES_STORE": "dynamodb:" + s.Name}
	s.Auth.environment(environment)
	maps.Copy(environment, s.Kept)
	if s.BasePath != nil {
		delete(environment, BasePathVariable)
		if *s.BasePath != "" {
			environment[BasePathVariable] = *s.BasePath
		}
	}
	architectures := []lambdatypes.Architecture{lambdatypes.Architecture(s.Architecture)}
	find := &lambda.GetFunctionInput{FunctionName: name}
	tags := s.Tags()
	tags[RoleTag] = "${role_id}"
	const handler, runtime, timeout = "bootstrap", lambdatypes.RuntimeProvidedal2023, 10 // s
	return Step{
		What:   "function " + s.Name,
		Find:   find,
		TagsAt: "Tags",
		Create: &lambda.CreateFunctionInput{FunctionName: name, Role: aws.String(s.RoleARN()), Runtime: runtime,
			Handler: aws.String(handler), Architectures: architectures, Timeout: aws.Int32(timeout),
			MemorySize:  cmp.Or(s.Memory, aws.Int32(defaultMemory)),
			Environment: &lambdatypes.Environment{Variables: environment},
			Code:        &lambdatypes.FunctionCode{ZipFile: s.Zip}, Tags: tags},
		Settled: "Configuration.State!='Pending' && Configuration.LastUpdateStatus!='InProgress'",
		Ready:   "Configuration.State=='Active' && Configuration.LastUpdateStatus=='Successful'",
		Reason:  "Configuration.[State, StateReason, LastUpdateStatusReason]",
		Wait: "aws lambda wait function-active-v2 --function-name " + call.Quote(s.Name) +
			"; aws lambda wait function-updated-v2 --function-name " + call.Quote(s.Name),
		Settings: []Setting{
			{Read: find, At: "Configuration", Put: &lambda.UpdateFunctionConfigurationInput{FunctionName: name,
				Role: aws.String(s.RoleARN()), Runtime: runtime, Handler: aws.String(handler),
				Timeout: aws.Int32(timeout), MemorySize: s.Memory,
				Environment: &lambdatypes.Environment{Variables: environment}}},
			{Read: find, At: "Configuration", Put: &lambda.UpdateFunctionCodeInput{FunctionName: name,
				Architectures: architectures, ZipFile: s.Zip}},
			s.concurrency(),
		},
		Remove: []any{&lambda.DeleteFunctionInput{FunctionName: name}},
	}
}

// concurrency is what is reserved for the function: the most that it costs, and what others cannot take from it. An
// account must keep 100 unreserved, or 10 (Lambda developer guide, "Configuring reserved concurrency").
//
// A function that was never asked for has none, as one has from which somebody took it. The first is without a policy
// still, because its grants come later.
func (s Stack) concurrency() Setting {
	setting := Setting{
		Read: &lambda.GetFunctionConcurrencyInput{FunctionName: &s.Name},
		Put: &lambda.PutFunctionConcurrencyInput{
			FunctionName: &s.Name, ReservedConcurrentExecutions: cmp.Or(s.Concurrency, aws.Int32(Burst))},
		Refused: "UnreservedConcurrentExecution",
		Else:    "no concurrency is reserved: this account's quota leaves no room; --concurrency 0 asks for none",
	}
	switch {
	case s.Concurrency == nil:
		setting.Name = fmt.Sprintf("reserved concurrency set to %d", Burst)
		setting.Read, setting.Holds = &lambda.GetPolicyInput{FunctionName: &s.Name}, "Policy!=`null`"
	case *s.Concurrency == 0:
		return Setting{Name: "reserved concurrency removed", Read: setting.Read,
			Holds: "ReservedConcurrentExecutions==`null`",
			Put:   &lambda.DeleteFunctionConcurrencyInput{FunctionName: &s.Name}}
	}
	return setting
}
