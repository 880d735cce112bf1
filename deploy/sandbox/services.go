package sandbox

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"example.com/portable-notes/deploy/gateway"
)

// knownServices are the services whose resources the sandbox knows. Calls of other services are checked on resource *.
var knownServices = map[string]bool{
	"apigateway": true, "cloudformation": true, "dynamodb": true, "iam": true, "kms": true, "lambda": true,
	"logs": true, "s3": true,
	"secretsmanager": true, "sns": true, "sqs": true, "ssm": true, "sts": true,
}

// s3Action returns the action and the resource of an S3 call, by its method, path and query ("Actions, resources, and
// condition keys for Amazon S3").
func (c *call) s3Action() (action, resource string) {
	bucket, key := c.bucket()
	resource = "arn:" + gateway.Partition(c.Region) + ":s3:::" + bucket
	query := c.URL.Query()
	switch {
	case bucket == "":
		return "s3:ListAllMyBuckets", "*"
	case key != "" && query.Has("uploadId") && c.Method == http.MethodDelete:
		return "s3:AbortMultipartUpload", resource + "/" + key
	case key != "":
		return "s3:" + verb(c.Method) + "Object" + s3Part(objectParts, query), resource + "/" + key
	case query.Has("delete"):
		return "s3:DeleteObject", resource + "/*"
	}
	part := s3Part(bucketParts, query)
	switch {
	case strings.HasPrefix(part, "List"):
		return "s3:" + part, resource
	case part == "Policy" || part == "Website" || part == "Location": // have their own Delete actions
		return "s3:" + verb(c.Method) + "Bucket" + part, resource
	case part != "" && c.Method == http.MethodDelete: // needs the right to change it
		return "s3:Put" + part, resource
	case part != "":
		return "s3:" + verb(c.Method) + part, resource
	case c.Method == http.MethodPut:
		return "s3:CreateBucket", resource
	case c.Method == http.MethodDelete:
		return "s3:DeleteBucket", resource
	}
	return "s3:ListBucket", resource
}

// bucketParts and objectParts map the query parameters that select a part of a bucket or an object to the part's name
// in actions.
var (
	bucketParts = map[string]string{"policy": "Policy", "website": "Website", "location": "Location",
		"versions": "ListBucketVersions", "uploads": "ListBucketMultipartUploads", "acl": "BucketAcl",
		"cors": "BucketCORS", "logging": "BucketLogging", "notification": "BucketNotification",
		"publicAccessBlock": "BucketPublicAccessBlock", "tagging": "BucketTagging", "versioning": "BucketVersioning",
		"encryption": "EncryptionConfiguration", "lifecycle": "LifecycleConfiguration",
		"ownershipControls": "BucketOwnershipControls", "object-lock": "BucketObjectLockConfiguration"}
	objectParts = map[string]string{"tagging": "Tagging", "acl": "Acl", "retention": "Retention",
		"legal-hold": "LegalHold", "attributes": "Attributes"}
)

// s3Part returns the part that a query selects; "" for none.
func s3Part(parts map[string]string, query url.Values) string {
	for _, name := range sortedKeys(parts) {
		if query.Has(name) {
			return parts[name]
		}
	}
	return ""
}

func verb(method string) string {
	return map[string]string{http.MethodPut: "Put", http.MethodPost: "Put", http.MethodDelete: "Delete"}[method] +
		map[bool]string{true: "Get"}[method == http.MethodGet || method == http.MethodHead]
}

// keepBucketPolicy answers the calls about the policies of buckets, which the sandbox keeps. Moto would apply their
// statements without the conditions: one that denies requests without TLS would deny all.
func (s *Sandbox) keepBucketPolicy(c *call) answer {
	bucket, _ := c.bucket()
	// This is a cheap read that fails if the bucket does not exist.
	a, err := s.moto.do(c.Context(), http.MethodGet, "/"+bucket+"?versioning", c.Header, nil)
	if err != nil || !a.ok() {
		return s.forward(c) // which answers with the same error
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch kept := s.bucketPolicies[bucket]; {
	case c.Method == http.MethodPut:
		s.bucketPolicies[bucket] = c.body
	case c.Method == http.MethodDelete:
		delete(s.bucketPolicies, bucket)
	case kept == nil:
		return c.refuse(http.StatusNotFound, "NoSuchBucketPolicy", "The bucket policy does not exist")
	default:
		return answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}}, body: kept}
	}
	return answer{status: http.StatusNoContent}
}

// dropBucketPolicy drops the policy of a bucket that is deleted.
func (s *Sandbox) dropBucketPolicy(c *call) answer {
	a := s.forward(c)
	if bucket, key := c.bucket(); a.ok() && key == "" {
		s.mu.Lock()
		delete(s.bucketPolicies, bucket)
		s.mu.Unlock()
	}
	return a
}

// bucket returns the bucket and the key of an S3 call. The bucket is in the path or in the host.
func (c *call) bucket() (bucket, key string) {
	path := strings.TrimPrefix(c.URL.Path, "/")
	if name, _, virtual := strings.Cut(c.Host, ".s3"); virtual {
		return name, path
	}
	bucket, key, _ = strings.Cut(path, "/")
	return bucket, key
}

// serviceResources returns the ARNs that a call of SQS, SNS, SSM, Secrets Manager or KMS affects; nil if unknown.
func (s *Sandbox) serviceResources(c *call) (all []string) {
	var in struct {
		QueueURL, QueueName, Name, Path, SecretID, KeyID string
		CiphertextBlob                                   []byte
		Names                                            []string
	}
	c.decode(&in)
	form := c.form()
	last := func(text string) string { return text[strings.LastIndex(text, "/")+1:] }
	switch c.Service {
	case "sqs":
		name := cmp.Or(last(cmp.Or(in.QueueURL, form.Get("QueueUrl"))), form.Get("QueueName"), in.QueueName)
		return []string{c.arn(cmp.Or(name, "*"))}
	case "sns":
		return []string{cmp.Or(form.Get("TopicArn"), form.Get("TargetArn"), c.arn(cmp.Or(form.Get("Name"), "*")))}
	case "ssm":
		for _, name := range append(in.Names, in.Name, in.Path) {
			if name != "" {
				all = append(all, c.arn("parameter/"+strings.TrimPrefix(name, "/")))
			}
		}
	case "secretsmanager":
		if in.Name != "" {
			return []string{c.arn("secret:" + in.Name)}
		}
		return []string{cmp.Or(s.describedARN(c, "secretsmanager.DescribeSecret",
			map[string]string{"SecretId": in.SecretID}),
			in.SecretID, "*")}
	case "kms":
		if in.KeyID == "" && len(in.CiphertextBlob) > 36 {
			in.KeyID = string(in.CiphertextBlob[:36]) // moto's ciphertexts begin with the key ID
		}
		return []string{cmp.Or(s.describedARN(c, "TrentService.DescribeKey", map[string]string{"KeyId": in.KeyID}),
			in.KeyID, "*")}
	}
	return all
}

// describedARN asks moto for the ARN of a secret or a key; "" if it does not exist.
func (s *Sandbox) describedARN(c *call, target string, of map[string]string) string {
	body := jsonAnswer(0, of).body
	header := c.Header.Clone()
	header.Set("X-Amz-Target", target)
	header.Set("Content-Type", "application/x-amz-json-1.1")
	header.Del("Content-Length")
	a, err := s.moto.do(c.Context(), http.MethodPost, "/", header, body)
	var out struct {
		ARN         string
		KeyMetadata struct{ Arn string }
	}
	if err != nil || !a.ok() || json.Unmarshal(bytes.TrimSpace(a.body), &out) != nil {
		return ""
	}
	return cmp.Or(out.ARN, out.KeyMetadata.Arn)
}
