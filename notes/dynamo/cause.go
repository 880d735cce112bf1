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
	// ErrNoAnswer is an error of a call to DynamoDB that was not answered: refused, cut off or out of time.
	ErrNoAnswer = errors.New("no answer")

	errNoTable      = errors.New("no such table")
	errForeignTable = errors.New("the table's keys are others")
)

// conditionFailed reports whether a call was refused by its condition, and returns the item as it stands; nil for none.
func conditionFailed(err error) (there item, failed bool) {
	var refused *types.ConditionalCheckFailedException
	if !errors.As(err, &refused) {
		return nil, false
	}
	return refused.Item, true
}

// explain says what a failed call means, for the person who reads the log. Everything that keeps the table from
// answering is notes.ErrUnavailable; a refused condition stays what it is.
func (s *Store) explain(operation string, err error) error {
	if _, failed := conditionFailed(err); err == nil || failed {
		return err
	}
	cause := causeOf(err)
	return fmt.Errorf("%w: DynamoDB %s on table %s: %w", notes.ErrUnavailable, operation, s.table, cause)
}

func causeOf(err error) error {
	var api smithy.APIError
	var failure *failure
	switch {
	case errors.As(err, &failure) && failure.sent:
		return fmt.Errorf("%w: %w", ErrNoAnswer, failure.err)
	case errors.As(err, &failure):
		return fmt.Errorf("%w, no connection: %w", ErrNoAnswer, failure.err)
	case !errors.As(err, &api):
		return err
	}
	say := func(kind error, format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{kind}, args...)...)
	}
	text := fmt.Errorf("%s: %s", api.ErrorCode(), api.ErrorMessage())
	switch code := api.ErrorCode(); {
	case throttled(err):
		return say(errThrottled, "%w%s", text, throttlingReasons(err))
	case code == "ResourceNotFoundException":
		return say(errNoTable, "%w (check the table's name, AWS_REGION and the account)", text)
	case code == "ValidationException" && (strings.Contains(api.ErrorMessage(), "schema") ||
		strings.Contains(api.ErrorMessage(), "keys")):
		return say(errForeignTable, "%w", text)
	case code == "AccessDeniedException":
		return say(errors.New("access denied: the role of this service lacks an action"), "%w", text)
	case code == "UnrecognizedClientException", code == "InvalidSignatureException",
		code == "ExpiredTokenException", code == "IncompleteSignatureException",
		code == "MissingAuthenticationTokenException":
		return say(errors.New("credentials are refused: they are wrong or have expired, or this machine's clock is "+
			"off by more than 5 minutes"), "%w", text)
	}
	return text
}

var errThrottled = errors.New("throttled")

// throttlingReasons names what was exceeded, on which table or index.
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
