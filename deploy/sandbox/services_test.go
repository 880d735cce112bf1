package sandbox

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestS3Actions: an S3 call maps to its IAM action and resource.
func TestS3Actions(t *testing.T) {
	for _, c := range []struct{ method, path, action, resource string }{
		{"GET", "/", "s3:ListAllMyBuckets", "*"},
		{"GET", "/b", "s3:ListBucket", "arn:aws:s3:::b"},
		{"GET", "/b?versions", "s3:ListBucketVersions", "arn:aws:s3:::b"},
		{"GET", "/b?location", "s3:GetBucketLocation", "arn:aws:s3:::b"},
		{"PUT", "/b", "s3:CreateBucket", "arn:aws:s3:::b"},
		{"PUT", "/b?encryption", "s3:PutEncryptionConfiguration", "arn:aws:s3:::b"},
		{"GET", "/b?lifecycle", "s3:GetLifecycleConfiguration", "arn:aws:s3:::b"},
		{"DELETE", "/b?lifecycle", "s3:PutLifecycleConfiguration", "arn:aws:s3:::b"},
		{"DELETE", "/b?cors", "s3:PutBucketCORS", "arn:aws:s3:::b"},
		{"DELETE", "/b?policy", "s3:DeleteBucketPolicy", "arn:aws:s3:::b"},
		{"DELETE", "/b", "s3:DeleteBucket", "arn:aws:s3:::b"},
		{"POST", "/b?delete", "s3:DeleteObject", "arn:aws:s3:::b/*"},
		{"PUT", "/b/a/k", "s3:PutObject", "arn:aws:s3:::b/a/k"},
		{"PUT", "/b/a/k?tagging", "s3:PutObjectTagging", "arn:aws:s3:::b/a/k"},
		{"DELETE", "/b/a/k?uploadId=1", "s3:AbortMultipartUpload", "arn:aws:s3:::b/a/k"},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			r := httptest.NewRequest(c.method, "http://127.0.0.1"+c.path, http.NoBody)
			action, resource := (&call{Call: Call{Region: "us-east-1"}, Request: r}).s3Action()
			if action != c.action || resource != c.resource {
				t.Errorf("%s on %s, want %s on %s", action, resource, c.action, c.resource)
			}
		})
	}
}
