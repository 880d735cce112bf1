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

// defaultMemory is the memory of a new function in MB.
const defaultMemory = 256

// Function returns the step of the function.
func (s Stack) Function() Step {
	name := &s.Name
	environment := map[string]string{"NOTES_STORE": "dynamodb:" + s.Name}
	s.Auth.addTo(environment)
	maps.Copy(environment, s.Kept)
	if s.BasePath != nil {
		delete(environment, BasePathVariable)
		if *s.BasePath != "" {
			environment[BasePathVariable] = *s.BasePath
		}
	}
	if s.Page {
		environment[PageVariable] = "on"
	}
	architectures := []lambdatypes.Architecture{lambdatypes.Architecture(s.Architecture)}
	find := &lambda.GetFunctionInput{FunctionName: name}
	tags := s.Tags()
	tags[RoleTag] = "${role_id}"
	const handler, runtime, timeout = "bootstrap", lambdatypes.RuntimeProvidedal2023, 10 // seconds
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
		Settings: append([]Setting{
			{Read: find, At: "Configuration", Put: &lambda.UpdateFunctionConfigurationInput{FunctionName: name,
				Role: aws.String(s.RoleARN()), Runtime: runtime, Handler: aws.String(handler),
				Timeout: aws.Int32(timeout), MemorySize: s.Memory,
				Environment: &lambdatypes.Environment{Variables: environment}}},
			{Read: find, At: "Configuration", Put: &lambda.UpdateFunctionCodeInput{FunctionName: name,
				Architectures: architectures, ZipFile: s.Zip}},
		}, s.concurrency(find)...),
		Remove: []any{&lambda.DeleteFunctionInput{FunctionName: name}},
	}
}

// concurrency reserves concurrency for the function, which bounds its cost and guarantees its share. An account must
// keep 100 unreserved, or 10 (Lambda developer guide, "Configuring reserved concurrency"). A tag records that the
// reservation was made once, so that it is not made again after somebody removed it.
func (s Stack) concurrency(find any) []Setting {
	setting := Setting{
		Read: &lambda.GetFunctionConcurrencyInput{FunctionName: &s.Name},
		Put: &lambda.PutFunctionConcurrencyInput{
			FunctionName: &s.Name, ReservedConcurrentExecutions: cmp.Or(s.Concurrency, aws.Int32(Burst))},
		Refused: "UnreservedConcurrentExecution",
		RefusedNote: "no concurrency is reserved, because the account's quota leaves no room; --concurrency 0 " +
			"avoids this note",
	}
	tagged := "Tags.\"" + concurrencyTag + "\"!=`null`"
	switch {
	case s.Concurrency == nil:
		setting.Name = fmt.Sprintf("reserved concurrency set to %d", Burst)
		setting.Read, setting.Holds = find, tagged+" || Concurrency.ReservedConcurrentExecutions!=`null`"
	case *s.Concurrency == 0:
		setting = Setting{Name: "reserved concurrency removed", Read: setting.Read,
			Holds: "ReservedConcurrentExecutions==`null`",
			Put:   &lambda.DeleteFunctionConcurrencyInput{FunctionName: &s.Name}}
	}
	return []Setting{setting, {
		Name: "reservation of concurrency recorded in a tag", Read: find, Holds: tagged,
		Put: &lambda.TagResourceInput{Resource: aws.String(s.FunctionARN()),
			Tags: map[string]string{concurrencyTag: "asked"}},
	}}
}
