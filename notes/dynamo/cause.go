package dynamo

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"example.com/portable-notes/notes"
)

var (
	// ErrNoAnswer reports that DynamoDB did not answer a call: no connection, a broken connection or a timeout.
	ErrNoAnswer = errors.New("no answer")

	errNoTable      = errors.New("no such table")
	errForeignTable = errors.New("the table has another key schema")
)

// conditionFailed reports whether err says that a call's condition failed. It returns the current item, nil if there is
// none.
func conditionFailed(err error) (current item, failed bool) {
	var refused *types.ConditionalCheckFailedException
	if !errors.As(err, &refused) {
		return nil, false
	}
	return refused.Item, true
}

// explain describes the error of a call for the log and wraps it in notes.ErrUnavailable. It returns nil and the error
// of a failed condition as they are.
func (s *Store) explain(operation string, err error) error {
	if _, failed := conditionFailed(err); err == nil || failed {
		return err
	}
	cause := describe(err)
	return fmt.Errorf("%w: DynamoDB %s on table %s: %w", notes.ErrUnavailable, operation, s.table, cause)
}

// describe returns an error that says what a failed call means and what to check.
func describe(err error) error {
	var api smithy.APIError
	var failure *attemptError
	switch {
	case errors.As(err, &failure) && failure.sent:
		return fmt.Errorf("%w: %w", ErrNoAnswer, failure.err)
	case errors.As(err, &failure):
		return fmt.Errorf("%w, no connection: %w", ErrNoAnswer, failure.err)
	case !errors.As(err, &api):
		return err
	}
	wrap := func(kind error, format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{kind}, args...)...)
	}
	answer := fmt.Errorf("%s: %s", api.ErrorCode(), api.ErrorMessage())
	switch code := api.ErrorCode(); {
	case isThrottled(err):
		return wrap(errThrottled, "%w%s", answer, throttlingReasons(err))
	case code == "ResourceNotFoundException":
		return wrap(errNoTable, "%w (check the table's name, AWS_REGION and the account)", answer)
	case code == "ValidationException" && (strings.Contains(api.ErrorMessage(), "schema") ||
		strings.Contains(api.ErrorMessage(), "keys")):
		return wrap(errForeignTable, "%w", answer)
	case code == "AccessDeniedException":
		return wrap(errors.New("access denied: the role of this service lacks an action"), "%w", answer)
	case code == "UnrecognizedClientException", code == "InvalidSignatureException",
		code == "ExpiredTokenException", code == "IncompleteSignatureException",
		code == "MissingAuthenticationTokenException":
		return wrap(errors.New("credentials are refused: they are wrong or have expired, or this machine's clock is "+
			"off by more than 5 minutes"), "%w", answer)
	}
	return answer
}

var errThrottled = errors.New("throttled")

// throttlingReasons returns which limits were exceeded, and on which table or index.
func throttlingReasons(err error) string {
	var reasons []types.ThrottlingReason
	var capacity *types.ProvisionedThroughputExceededException
	var requests *types.RequestLimitExceeded
	var throttling *types.ThrottlingException
	switch {
	case errors.As(err, &capacity):
		reasons = capacity.ThrottlingReasons
	case errors.As(err, &requests):
		reasons = requests.ThrottlingReasons
	case errors.As(err, &throttling):
		reasons = throttling.ThrottlingReasons
	}
	var b strings.Builder
	for _, r := range reasons {
		if r.Reason != nil {
			fmt.Fprintf(&b, "; %s", *r.Reason)
		}
		if r.Resource != nil {
			fmt.Fprintf(&b, " on %s", *r.Resource)
		}
	}
	return b.String()
}
