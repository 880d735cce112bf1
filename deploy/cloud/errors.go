package cloud

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/smithy-go"
)

// IsNotFound reports whether err says that the resource of a call does not exist.
func IsNotFound(err error) bool {
	if isNoBoundary(err) {
		return false
	}
	return slices.Contains([]string{
		"NoSuchEntity", "NoSuchEntityException", "NotFoundException", "ResourceNotFound", "ResourceNotFoundException",
		"TableNotFoundException",
	}, Code(err))
}

// IsExists reports whether err says that a resource already exists: another program created it, or an earlier call
// whose answer was lost.
func IsExists(err error) bool {
	switch text := fmt.Sprint(err); Code(err) {
	case "EntityAlreadyExists", "EntityAlreadyExistsException", "ResourceAlreadyExistsException",
		"ResourceInUseException":
		return true
	case "ConflictException", "ResourceConflictException":
		return strings.Contains(text, "already exist")
	}
	return false
}

// IsTransient reports whether a failure passes by itself: a new resource is not visible everywhere yet, or AWS is still
// changing it.
func IsTransient(err error) bool {
	switch text := fmt.Sprint(err); Code(err) {
	case "InvalidParameterValueException":
		return strings.Contains(text, "cannot be assumed by Lambda") || // a new role
			strings.Contains(text, "does not refer to a valid principal")
	case "NotFoundException":
		return strings.Contains(text, "log delivery") // a new stage
	case "TooManyRequestsException", "ThrottlingException", "Throttling":
		return true
	case "ResourceConflictException":
		return !strings.Contains(text, "already exist")
	case "ConflictException":
		return strings.Contains(strings.ToLower(text), "concurrent")
	case "ContinuousBackupsUnavailableException", "ConcurrentModification", "ConcurrentModificationException",
		"OperationAbortedException", "ResourceInUseException", "DeleteConflict", "DeleteConflictException":
		return true
	}
	return false
}

// Code returns the error code of an AWS service, or "" if err has none.
func Code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

// Message returns the error message of an AWS service, or all of err if no service answered.
func Message(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorMessage()
	}
	return fmt.Sprint(err)
}

// IsAmbiguous reports whether a failed call may have taken effect: the service did not refuse it.
func IsAmbiguous(err error) bool {
	var e smithy.APIError
	return err != nil && (!errors.As(err, &e) || e.ErrorFault() == smithy.FaultServer)
}

// ErrNoCredentials means that the SDK finds no credentials.
var ErrNoCredentials = errors.New("there are no credentials")

// advice says what to do about common errors. The first row that matches is used.
var advice = []struct {
	name    string
	matches func(error) bool
	text    string
}{
	{name: "expired", matches: hasCode("ExpiredToken", "ExpiredTokenException"),
		text: "the credentials have expired: get new ones (aws sso login, or aws configure)"},
	{name: "unknown",
		matches: hasCode("InvalidClientTokenId", "UnrecognizedClientException", "InvalidSignatureException",
			"SignatureDoesNotMatch"),
		text: "AWS does not know these credentials, or the clock is wrong: try aws sts get-caller-identity"},
	{name: "no access log",
		matches: hasMessage("BadRequestException", "Insufficient permissions to enable logging"),
		text: "the access log of the stage needs the log delivery rights that deploy up --print-policy prints, " +
			"and room in the region's CloudWatch Logs resource policy"},
	{name: "no boundary", matches: isNoBoundary,
		text: "the permissions boundary does not exist: check the ARN in --boundary"},
	{name: "may not", matches: hasCode("AccessDenied", "AccessDeniedException"),
		text: "these credentials may not do this: deploy up --print-policy prints the rights needed"},
	{name: "no host", matches: isNoHost,
		text: "the host does not exist: is the region (AWS_REGION) spelt right, and is there a network?"},
	{name: "single sign-on", matches: isSignedOut, text: "the single sign-on session has ended: run aws sso login"},
	{name: "no credentials", matches: func(err error) bool { return errors.Is(err, ErrNoCredentials) },
		text: "no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"},
}

func hasCode(codes ...string) func(error) bool {
	return func(err error) bool { return slices.Contains(codes, Code(err)) }
}

// hasMessage matches errors with a code that AWS uses for several failures. Only their messages differ.
func hasMessage(code, words string) func(error) bool {
	return func(err error) bool {
		var e smithy.APIError
		return errors.As(err, &e) && e.ErrorCode() == code && strings.Contains(e.ErrorMessage(), words)
	}
}

// isNoBoundary reports whether IAM says that a role's boundary policy does not exist.
func isNoBoundary(err error) bool {
	return hasMessage("NoSuchEntity", "is not attachable")(err) ||
		hasMessage("NoSuchEntityException", "is not attachable")(err)
}

func isNoHost(err error) bool {
	var lookup *net.DNSError
	return errors.As(err, &lookup) && lookup.IsNotFound
}

func isSignedOut(err error) bool {
	var token *ssocreds.InvalidTokenError
	return errors.As(err, &token) || Code(err) == "UnauthorizedException" // from GetRoleCredentials of SSO
}

// Explain adds to a common error what to do about it.
func Explain(err error) error {
	if err == nil {
		return nil
	}
	for _, row := range advice {
		if row.matches(err) {
			return fmt.Errorf("%s: %w", row.text, err)
		}
	}
	return err
}
