package cloud

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/smithy-go"
)

// IsNotFound tells whether what is called about is not there.
func IsNotFound(err error) bool {
	return slices.Contains([]string{"NoSuchEntity", "NotFoundException", "ResourceNotFoundException", "ResourceNotFound", "TableNotFoundException", "NoSuchEntityException"}, Code(err))
}

// IsExists tells whether what is created is there: by another program, or by a call whose answer was lost.
func IsExists(err error) bool {
	switch code, text := Code(err), fmt.Sprint(err); code {
	case "EntityAlreadyExists", "EntityAlreadyExistsException", "ResourceAlreadyExistsException", "ResourceInUseException":
		return true
	case "ConflictException", "ResourceConflictException":
		return strings.Contains(text, "already exist")
	}
	return false
}

// IsTransient tells whether a failure ends by itself: AWS has not heard of something yet, or is at work on it.
func IsTransient(err error) bool {
	switch code, text := Code(err), fmt.Sprint(err); code {
	case "InvalidParameterValueException":
		return strings.Contains(text, "cannot be assumed by Lambda") || strings.Contains(text, "does not refer to a valid principal") // of a role that is new
	case "NotFoundException":
		return strings.Contains(text, "log delivery") // of a stage that is new
	case "TooManyRequestsException", "ThrottlingException", "Throttling":
		return true // it surely did not take place
	case "ResourceConflictException":
		return !strings.Contains(text, "already exist")
	case "ConflictException":
		return strings.Contains(strings.ToLower(text), "concurrent")
	case "ContinuousBackupsUnavailableException", "ConcurrentModification", "ConcurrentModificationException", "OperationAbortedException", "ResourceInUseException", "DeleteConflict", "DeleteConflictException":
		return true
	}
	return false
}

func Code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

// IsAmbiguous tells whether a call may have taken place although it failed: no answer of the service says that it did not.
func IsAmbiguous(err error) bool {
	var e smithy.APIError
	return err != nil && (!errors.As(err, &e) || e.ErrorFault() == smithy.FaultServer)
}

// Explained says in one sentence what is wrong and what to do about it, for the failures that people meet.
func Explained(err error) error {
	if err == nil {
		return nil
	}
	advice := ""
	switch code := Code(err); {
	case code == "ExpiredToken" || code == "ExpiredTokenException":
		advice = "the credentials have expired: get new ones (aws sso login, or aws configure)"
	case code == "InvalidClientTokenId" || code == "UnrecognizedClientException" || code == "InvalidSignatureException" || code == "SignatureDoesNotMatch":
		advice = "AWS does not know these credentials, or the clock is wrong: try aws sts get-caller-identity"
	case code == "AccessDenied" || code == "AccessDeniedException":
		advice = "these credentials may not do this: deploy up --print-policy prints what is needed"
	case strings.Contains(err.Error(), "no such host"):
		advice = "AWS has no such address: is the region (AWS_REGION) spelt right, and is there a network?"
	case strings.Contains(err.Error(), "SSO") || strings.Contains(err.Error(), "sso"):
		advice = "the session of the single sign-on has ended: aws sso login"
	case strings.Contains(err.Error(), "Insufficient permissions to enable logging"):
		advice = "the access log of the stage needs the log delivery rights that deploy up --print-policy prints, and room in the region's CloudWatch Logs resource policy"
	case strings.Contains(err.Error(), "get credentials") || strings.Contains(err.Error(), "failed to refresh cached credentials"):
		advice = "no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
	default:
		return err
	}
	return fmt.Errorf("%s: %w", advice, err)
}
