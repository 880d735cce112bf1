package sandbox

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// TestStaging: a function that is put into a state shows it and answers accordingly, until the tag is removed.
func TestStaging(t *testing.T) {
	w := open(t)
	ctx, arn := t.Context(), w.function(bootstrap(t))
	stage := func(state string) error {
		_, err := w.functions.TagResource(ctx, &lambda.TagResourceInput{Resource: &arn,
			Tags: map[string]string{StateTag: state}})
		return err
	}
	for _, c := range []struct{ state, shown, refused string }{
		{"pending", "Pending Successful The function is being created.", "following state: Pending"},
		{"inactive", "Inactive Successful The function has not been invoked for a long time.",
			"following state: Inactive"},
		{"failed:the image is gone", "Failed Successful the image is gone", "following state: Failed"},
		{"update-failed:no room", "Active Failed ", ""},
		{"throttled", "Active Successful ", "TooManyRequestsException"},
		{"kms-denied", "Active Successful ", "KMSAccessDeniedException"},
		{"", "Active Successful ", ""},
	} {
		t.Run(c.state, func(t *testing.T) {
			if c.state != "" {
				if err := stage(c.state); err != nil {
					t.Fatal(err)
				}
			} else {
				did[*lambda.UntagResourceOutput](t)(w.functions.UntagResource(ctx, &lambda.UntagResourceInput{
					Resource: &arn, TagKeys: []string{StateTag}}))
			}
			is := did[*lambda.GetFunctionOutput](t)(w.functions.GetFunction(ctx, &lambda.GetFunctionInput{
				FunctionName: &w.name})).Configuration
			if got := fmt.Sprintf("%s %s %s", is.State, is.LastUpdateStatus,
				aws.ToString(is.StateReason)); got != c.shown {
				t.Errorf("the configuration shows %q, want %q", got, c.shown)
			}
			_, err := w.functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: &w.name})
			if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%v, want %q", err, c.refused)
			}
		})
	}
	if err := stage("broken"); err == nil || !strings.Contains(err.Error(), "unknown state") {
		t.Errorf("%v", err)
	}
}
