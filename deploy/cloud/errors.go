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

// IsExists reports whether err says that what was to be created exists: another program made it, or a call whose answer
// was lost.
func IsExists(err error) bool {
	switch code, text := Code(err), fmt.Sprint(err); code {
	case "EntityAlreadyExists", "EntityAlreadyExistsException", "ResourceAlreadyExistsException",
		"ResourceInUseException":
		return true
	case "ConflictException", "ResourceConflictException":
		return strings.Contains(text, "already exist")
	}
	return false
}

// IsTransient reports whether a failure ends by itself: AWS has not heard of something yet, or is at work on it.
func IsTransient(err error) bool {
	switch code, text := Code(err), fmt.Sprint(err); code {
	case "InvalidParameterValueException":
		return strings.Contains(text, "cannot be assumed by Lambda") || // of a role that is new
			strings.Contains(text, "does not refer to a valid principal")
	case "NotFoundException":
		return strings.Contains(text, "log delivery") // of a stage that is new
	case "TooManyRequestsException", "ThrottlingException", "Throttling":
		return true // it surely did not take place
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

// Code returns the code of an error of AWS, or "".
func Code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

// Message returns what AWS says of an error, or all that err says where no service answered.
func Message(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorMessage()
	}
	return fmt.Sprint(err)
}

// IsAmbiguous reports whether a call may have taken place although it failed: no answer of the service says that it did
// not.
func IsAmbiguous(err error) bool {
	var e smithy.APIError
	return err != nil && (!errors.As(err, &e) || e.ErrorFault() == smithy.FaultServer)
}

// ErrNoCredentials is where the SDK finds no credentials.
var ErrNoCredentials = errors.New("there are no credentials")

// advice is what to do about errors that people meet. The first row that fits is given.
var advice = []struct {
	name string
	fits func(error) bool
	says string
}{
	{"expired", code("ExpiredToken", "ExpiredTokenException"),
		"the credentials have expired: get new ones (aws sso login, or aws configure)"},
	{"unknown",
		code("InvalidClientTokenId", "UnrecognizedClientException", "InvalidSignatureException",
			"SignatureDoesNotMatch"),
		"AWS does not know these credentials, or the clock is wrong: try aws sts get-caller-identity"},
	{"no access log", saying("BadRequestException", "Insufficient permissions to enable logging"),
		"the access log of the stage needs the log delivery rights that deploy up --print-policy prints, " +
			"and room in the region's CloudWatch Logs resource policy"},
	{"no boundary", isNoBoundary, "there is no policy that could be the boundary: is its ARN (--boundary) spelt " +
		"right?"},
	{"may not", code("AccessDenied", "AccessDeniedException"),
		"these credentials may not do this: deploy up --print-policy prints what is needed"},
	{"no host", isNoHost,
		"AWS has no such address: is the region (AWS_REGION) spelt right, and is there a network?"},
	{"single sign-on", isSignedOut, "the session of the single sign-on has ended: aws sso login"},
	{"no credentials", func(err error) bool { return errors.Is(err, ErrNoCredentials) },
		"no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"},
}

func code(codes ...string) func(error) bool {
	return func(err error) bool { return slices.Contains(codes, Code(err)) }
}

// saying fits errors of a code that AWS uses for several things, which only its words tell apart.
func saying(code, words string) func(error) bool {
	return func(err error) bool {
		var e smithy.APIError
		return errors.As(err, &e) && e.ErrorCode() == code && strings.Contains(e.ErrorMessage(), words)
	}
}

// isNoBoundary reports whether IAM does not know a policy that a role is to have as its boundary.
func isNoBoundary(err error) bool {
	return saying("NoSuchEntity", "is not attachable")(err) ||
		saying("NoSuchEntityException", "is not attachable")(err)
}

func isNoHost(err error) bool {
	var lookup *net.DNSError
	return errors.As(err, &lookup) && lookup.IsNotFound
}

func isSignedOut(err error) bool {
	var token *ssocreds.InvalidTokenError
	return errors.As(err, &token) || Code(err) == "UnauthorizedException" // of SSO's GetRoleCredentials
}

// Explained returns an error that also says what to do about it, for the failures that people meet.
func Explained(err error) error {
	if err == nil {
		return nil
	}
	for _, row := range advice {
		if row.fits(err) {
			return fmt.Errorf("%s: %w", row.says, err)
		}
	}
	return err
}
