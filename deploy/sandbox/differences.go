package sandbox

import (
	"strings"

	"example.com/portable-notes/deploy/sandbox/formation"
)

// Difference is a way in which the sandbox intentionally differs from AWS.
type Difference struct{ What, Here, AWS string }

// Differences lists the ways in which the sandbox intentionally differs from AWS. Any other difference is a bug.
var Differences = []Difference{
	{
		What: "signatures",
		Here: "not checked: anyone who knows a key ID signs as its owner",
		AWS:  "checked",
	},
	{
		What: "the sandbox's own key, and every key that does not belong to a user or a session",
		Here: "may do everything",
		AWS:  "no such keys",
	},
	{
		What: "resources of services other than DynamoDB, IAM, KMS, Lambda, Logs, S3, Secrets Manager, SNS, SQS, " +
			"SSM and API Gateway",
		Here: "permissions are checked on resource *",
		AWS:  "permissions are checked on the ARN",
	},
	{
		What: "time",
		Here: "no latency; IAM changes and deployments take effect at once",
		AWS:  "seconds to minutes",
	},
	{
		What: "quotas",
		Here: "only a few, which errors name",
		AWS:  "many more",
	},
	{
		What: "networks and keys",
		Here: "no VPC; KMS does not encrypt what functions see",
		AWS:  "both",
	},
	{
		What: "functions in Python and Node.js",
		Here: "run with this machine's python3 and node, whatever their version, and its boto3; no AWS SDK for " +
			"Node.js",
		AWS: "run with the version of the runtime, with AWS's SDKs",
	},
	{
		What: "functions with a bootstrap",
		Here: "run on this machine, for its architecture, or in Docker",
		AWS:  "run on the configured architecture",
	},
	{
		What: "other runtimes, and container images",
		Here: "do not run",
		AWS:  "run",
	},
	{
		What: "/var/task, /opt and /tmp",
		Here: "as on Lambda in Docker, and on Linux if a process may have its own mounts and its interpreter is not " +
			"in /opt; /tmp then also shows the program that runs the function, and is emptied when the process " +
			"restarts; elsewhere the folders in LAMBDA_TASK_ROOT and SANDBOX_OPT, and this machine's /tmp",
		AWS: "the first two read-only; a /tmp of 512 MB to 10 GB for each environment",
	},
	{
		What: "memory",
		Here: "measured every 10 ms, without the files that a process maps; not on macOS and Windows; in Docker a " +
			"limit of the container",
		AWS: "all of it",
	},
	{
		What: "a function URL's CORS settings",
		Here: "ignored",
		AWS:  "applied",
	},
	{
		What: "exports of an API",
		Here: "in JSON, with extensions",
		AWS:  "in YAML too, and without extensions",
	},
	{
		What: "extensions",
		Here: "start with the function, receive its events, are killed with it and have their own /tmp; not in " +
			"Docker",
		AWS: "are awaited at the start, and notified of the end",
	},
	{
		What: "response streaming, and retries of asynchronous events",
		Here: "not supported",
		AWS:  "supported",
	},
	{
		What: "REST and WebSocket APIs",
		Here: "can be created, but requests to them are refused",
		AWS:  "served",
	},
	{
		What: "integrations with AWS services and VPC links",
		Here: "requests are refused",
		AWS:  "served",
	},
	{
		What: "custom domains",
		Here: "only in the sandbox's own region, without TLS, at their Host or under /_aws/domains/NAME/",
		AWS:  "with TLS",
	},
	{
		What: "CloudFormation types",
		Here: "a template with other types than these is refused: " + strings.ReplaceAll(
			strings.Join(formation.Types(), ", "), "AWS::", ""),
		AWS: "all",
	},
	{
		What: "CloudFormation",
		Here: "one resource after the other; macros need no CAPABILITY_AUTO_EXPAND; no nested stacks, stack sets, " +
			"imports of resources, drift, custom resources, macros other than SAM's, Fn::Cidr, Fn::ForEach, dynamic " +
			"references except to ssm, or ContinueUpdateRollback; stack policies are kept, not applied",
		AWS: "all of it",
	},
	{
		What: "policies of buckets, and in a template their " + strings.Join(formation.Unapplied, ", "),
		Here: "accepted, not applied",
		AWS:  "applied",
	},
	{
		What: "a route's source ARN with variables",
		Here: "the route's template and the request's path both match, with a note in the log",
		AWS:  "not documented",
	},
}
