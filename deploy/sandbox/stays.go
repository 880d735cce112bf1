package sandbox

// Difference is a way in which the sandbox stays another place than AWS.
type Difference struct{ What, Here, AWS string }

// Stays are the ways in which the sandbox stays another place than AWS. What else a program sees otherwise is a fault.
var Stays = []Difference{
	{"signatures", "not checked: whoever knows the id of a key signs for its owner", "checked"},
	{"the sandbox's own key, and every key that is not of a user or a session", "may do all", "no such key"},
	{"resources of other services than DynamoDB, IAM, KMS, Lambda, Logs, S3, Secrets Manager, SNS, SQS, SSM and API " +
		"Gateway",
		"judged as *", "judged by their ARNs"},
	{"time", "no latency; IAM and deployments act at once", "seconds to minutes"},
	{"quotas", "those that errors name", "many more"},
	{"networks and keys", "no VPC; KMS encrypts nothing that functions see", "both"},
	{"functions in Python and Node.js", "python3 and node of this machine, whatever their version; its boto3; no AWS " +
		"SDK for " +
		"Node.js", "the version of the runtime, with AWS's SDKs"},
	{"functions with a bootstrap", "on this machine for its processor, or in Docker",
		"for the processor they are configured for"},
	{"other runtimes, and images", "do not run", "run"},
	{"/var/task, /opt and /tmp", "as on Lambda in Docker, and on Linux where a process may have mounts of its own " +
		"and /opt does not hold its interpreter; /tmp also shows what runs the function, and is empty again when its " +
		"process starts again; elsewhere folders that LAMBDA_TASK_ROOT and SANDBOX_OPT name, and this machine's /tmp",
		"read-only, and 512 MB to 10 GB of a function's own"},
	{"memory", "measured every 10 ms without the files that a process maps, and not on macOS and Windows; a limit of " +
		"the container's in Docker", "all of it"},
	{"a function URL's CORS settings", "ignored", "served"},
	{"exports of an API", "in JSON, with extensions", "in YAML too, and without them"},
	{"extensions", "started with the function, told of events and killed with it, with a /tmp of their own; not in " +
		"Docker",
		"awaited at the start, and told of the end"},
	{"response streaming, and retries of asynchronous events", "not served", "served"},
	{"REST and WebSocket APIs", "kept, and refused when they are called", "served"},
	{"integrations with AWS services and VPC links", "refused when they are called", "served"},
	{"custom domains", "of the sandbox's own region, without TLS, at their Host or under /_aws/domains/NAME/",
		"with TLS"},
	{"CloudFormation", "refuses types that would not be served", "makes them"},
	{"a route's source ARN with variables", "the template and the request's path are both let in, with a note",
		"not documented"},
}
