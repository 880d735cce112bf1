package doctor

import "slices"

// Entry is the description of a cause.
type Entry struct {
	Cause  string // a stable name
	Link   Link
	Level  Level  // unless the facts lower it
	Sees   string // the response that the client receives; "" if it varies
	Says   phrase // what is wrong
	Does   phrase // how to fix it
	Source string // the documentation behind it
}

// entryOf returns the entry of a cause. It panics if the catalogue has none.
func entryOf(cause string) Entry {
	i := slices.IndexFunc(Catalogue, func(e Entry) bool { return e.Cause == cause })
	if i < 0 {
		panic("the catalogue has no cause " + cause)
	}
	return Catalogue[i]
}

// API Gateway's own responses.
const (
	sees500 = `500 {"message":"Internal Server Error"}`
	sees401 = `401 {"message":"Unauthorized"}`
	sees403 = `403 {"message":"Forbidden"}`
	sees404 = `404 {"message":"Not Found"}`
	sees503 = `503 {"message":"Service Unavailable"}`
	sees429 = `429 {"message":"Too Many Requests"}`

	seesApp500 = sees500 + ", or one from the app"
)

// The titles of documentation pages.
const (
	ofRouting     = "API Gateway developer guide, Create routes for HTTP APIs"
	ofStages      = "API Gateway developer guide, Stages for HTTP APIs"
	ofEndpoint    = "API Gateway developer guide, Disable the default endpoint for HTTP APIs"
	ofThrottling  = "API Gateway developer guide, Throttle requests to your HTTP APIs"
	ofJWT         = "API Gateway developer guide, Control access to HTTP APIs with JWT authorizers"
	ofAuthorizer  = "API Gateway developer guide, Control access to HTTP APIs with AWS Lambda authorizers"
	ofIAM         = "API Gateway developer guide, Control access to HTTP APIs with IAM authorization"
	ofCORS        = "API Gateway developer guide, Configure CORS for HTTP APIs"
	ofDomain      = "API Gateway developer guide, Custom domain names for HTTP APIs"
	ofIntegration = "API Gateway developer guide, Create AWS Lambda proxy integrations for HTTP APIs"
	ofTrouble     = "API Gateway developer guide, Troubleshooting issues with HTTP API Lambda integrations"
	ofARN         = "API Gateway developer guide, ARN format reference"
	ofQuotas      = "API Gateway developer guide, Quotas for HTTP APIs"
	ofPermission  = "Lambda API reference, AddPermission"
	ofPolicy      = "Lambda developer guide, Resource-based policies"
	ofStates      = "Lambda developer guide, Lambda function states"
	ofInvoke      = "Lambda API reference, Invoke"
	ofConcurrency = "Lambda developer guide, Configuring reserved concurrency"
	ofRuntime     = "Lambda developer guide, Troubleshoot invocation issues in Lambda"
	ofAccess      = "IAM user guide, Troubleshoot access denied error messages"
	ofTable       = "DynamoDB developer guide, Error handling with DynamoDB"
	ofLogging     = "API Gateway developer guide, Configure logging for HTTP APIs"
)

// Catalogue lists all causes, in the order of the chain.
var Catalogue = slices.Concat(onTheWay, atTheAuthorizer, toTheFunction, inTheFunction)

// onTheWay are the causes from the client to the route.
var onTheWay = []Entry{
	{
		Cause: "caller.credentials", Link: LinkClient, Level: Fault,
		Says: phrase{"AWS does not accept these credentials", "AWS がこの認証情報を受け付けません"},
		Does: phrase{
			"Get new credentials: aws sso login, or aws configure.",
			"認証情報を取り直してください: aws sso login または aws configure。",
		},
		Source: "STS API reference, GetCallerIdentity",
	},
	{
		Cause: "caller.other-account", Link: LinkClient, Level: Fault,
		Says: phrase{
			"API {api} answers, but it is not in account {account}, region {region}: it belongs to another account",
			"API {api} は応答しますが、アカウント {account} のリージョン {region} にはありません。" +
				"別のアカウントの API です",
		},
		Does: phrase{
			"Run the doctor with credentials of the account that owns the API.",
			"API を持つアカウントの認証情報で実行してください。",
		},
		Source: "API Gateway V2 API reference, GetApi",
	},
	{
		Cause: "caller.rights", Link: LinkClient, Level: Note,
		Says: phrase{"these credentials lack permissions to read: {rights}",
			"この認証情報では読み取れないものがあります: {rights}"},
		Does: phrase{"Grant the permissions that --print-policy prints.",
			"--print-policy の権限を追加してください。"},
		Source: "IAM user guide, Troubleshoot access denied error messages",
	},

	{
		Cause: "endpoint.url", Link: LinkEndpoint, Level: Fault, Sees: sees404,
		Says: phrase{
			"API Gateway does not serve this URL: the stage appears twice, or the URL begins with http://",
			"この URL は API Gateway が受け付ける形ではありません。ステージ名が二重か、http で始まっています",
		},
		Does: phrase{
			"Use https://API-ID.execute-api.REGION.amazonaws.com/STAGE/path, with the stage only once.",
			"https://API-ID.execute-api.REGION.amazonaws.com/STAGE/path の形で、ステージ名は一度だけ書いてください。",
		},
		Source: ofStages,
	},
	{
		Cause: "endpoint.unreachable", Link: LinkEndpoint, Level: Fault, Sees: "no answer",
		Says: phrase{"{host} does not answer: {why}", "{host} から応答がありません: {why}"},
		Does: phrase{
			"Check the host name, the network, and whether a VPC endpoint with private DNS intercepts execute-api.",
			"名前とネットワーク、プライベート DNS 付き VPC エンドポイントの有無を確認してください。",
		},
		Source: "re:Post, api-gateway-vpc-connections",
	},
	{
		Cause: "endpoint.not-ours", Link: LinkEndpoint, Level: Note,
		Says: phrase{
			"{host} is not an HTTP API endpoint that these credentials can look up; to check an API behind it, " +
				"pass --api and --region",
			"{host} はこの認証情報で調べられる HTTP API のエンドポイントではありません。" +
				"--api と --region を指定してください",
		},
		Does:   phrase{"deploy doctor --api ID --region REGION", "deploy doctor --api ID --region REGION"},
		Source: ofStages,
	},
	{
		Cause: "endpoint.unknown-api", Link: LinkEndpoint, Level: Fault, Sees: "no such host, 403 or 404",
		Says: phrase{
			"there is no API {api} in account {account}, region {region}",
			"アカウント {account} のリージョン {region} に API {api} はありません",
		},
		Does: phrase{"Check the API id in the URL, the region and the account.",
			"URL の ID、リージョン、アカウントを確認してください。"},
		Source: "API Gateway V2 API reference, GetApi",
	},
	{
		Cause: "endpoint.rest-api", Link: LinkEndpoint, Level: Note,
		Says: phrase{
			"{api} \"{name}\" is a REST API; this doctor checks only HTTP APIs",
			"{api}「{name}」は REST API です。この診断は HTTP API だけを対象にします",
		},
		Does: phrase{
			"For REST APIs, run the AWS runbook AWSSupport-TroubleshootAPIGatewayHttpErrors.",
			"REST API には AWSSupport-TroubleshootAPIGatewayHttpErrors ランブックがあります。",
		},
		Source: "API Gateway developer guide, Choose between REST APIs and HTTP APIs",
	},
	{
		Cause: "endpoint.websocket-api", Link: LinkEndpoint, Level: Note,
		Says: phrase{
			"{api} is a WebSocket API; this doctor checks only HTTP APIs",
			"{api} は WebSocket API です。この診断は HTTP API だけを対象にします",
		},
		Does:   phrase{"Connect to it with a WebSocket client.", "WebSocket クライアントで接続してください。"},
		Source: "API Gateway V2 API reference, GetApi",
	},
	{
		Cause: "endpoint.domain-unmapped", Link: LinkEndpoint, Level: Fault, Sees: sees403,
		Says: phrase{"no API is mapped to the custom domain {domain}",
			"カスタムドメイン {domain} に API マッピングがありません"},
		Does: phrase{
			"Map an API to it: aws apigatewayv2 create-api-mapping.",
			"aws apigatewayv2 create-api-mapping で対応付けてください。",
		},
		Source: ofDomain,
	},
	{
		Cause: "endpoint.domain-key", Link: LinkEndpoint, Level: Fault, Sees: sees403,
		Says: phrase{
			"no API mapping of the custom domain {domain} matches the start of the path: {keys}",
			"カスタムドメイン {domain} のマッピングにパスの先頭が一致しません: {keys}",
		},
		Does: phrase{"Start the path with a mapping key, or add a mapping.",
			"パスをマッピングキーで始めるか、マッピングを追加してください。"},
		Source: ofDomain,
	},
	{
		Cause: "endpoint.domain-stage", Link: LinkEndpoint, Level: Fault, Sees: sees403,
		Says: phrase{
			"the custom domain {domain} is mapped to the stage {stage} of API {api}, which does not exist",
			"カスタムドメイン {domain} の対応先、API {api} のステージ {stage} は存在しません",
		},
		Does: phrase{
			"Map it to an existing stage: aws apigatewayv2 update-api-mapping.",
			"aws apigatewayv2 update-api-mapping で存在するステージに対応付けてください。",
		},
		Source: ofDomain,
	},
	{
		Cause: "endpoint.domain-routing", Link: LinkEndpoint, Level: Fault, Sees: sees403,
		Says: phrase{
			"the custom domain {domain} uses only routing rules, so its API mappings have no effect: {keys}",
			"カスタムドメイン {domain} はルーティングルールだけを使うため、API マッピングは無効です: {keys}",
		},
		Does: phrase{
			"Add a routing rule for the path, or set the routing mode so that mappings apply after the rules.",
			"ルーティングルールを追加するか、マッピングも使うようにしてください。",
		},
		Source: "API Gateway developer guide, Send traffic to your APIs through your custom domain name",
	},
	{
		Cause: "endpoint.domain-dns", Link: LinkEndpoint, Level: Fault,
		Sees: "no such host, or another server's response",
		Says: phrase{
			"the DNS record of {domain} does not point to {target}",
			"{domain} の DNS レコードが {target} を指していません",
		},
		Does: phrase{
			"Point the record (CNAME or alias) to the target, unless a CDN is meant to be in between.",
			"レコード（CNAME またはエイリアス）をこのターゲットに向けてください（CDN を挟む場合を除く）。",
		},
		Source: ofDomain,
	},
	{
		Cause: "endpoint.domain-certificate", Link: LinkEndpoint, Level: Fault, Sees: "a TLS error",
		Says: phrase{
			"the certificate of the custom domain {domain} is not accepted: {why}",
			"カスタムドメイン {domain} の証明書が受け付けられません: {why}",
		},
		Does: phrase{
			"Set a valid certificate for this name: aws apigatewayv2 update-domain-name.",
			"この名前の有効な証明書を設定してください: aws apigatewayv2 update-domain-name。",
		},
		Source: ofDomain,
	},
	{
		Cause: "endpoint.domain-mtls", Link: LinkEndpoint, Level: Fault, Sees: sees403 + " or a TLS error",
		Says: phrase{
			"the custom domain {domain} accepts only clients with a certificate that it trusts (mutual TLS)",
			"カスタムドメイン {domain} は信頼するクライアント証明書を要求します（相互 TLS）",
		},
		Does: phrase{
			"Send the request with --cert and --key: deploy doctor -- curl --cert client.pem …",
			"--cert と --key を付けてください: deploy doctor -- curl --cert client.pem …",
		},
		Source: "API Gateway developer guide, Mutual TLS authentication for HTTP APIs",
	},
	{
		Cause: "endpoint.host-header", Link: LinkEndpoint, Level: Fault, Sees: sees403,
		Says: phrase{
			"the request's Host header is {other} instead of {host}, and no API has that name",
			"リクエストの Host が {host} ではなく {other} のため、API が見つかりません",
		},
		Does: phrase{
			"Let the CDN or proxy send the API's own host name in the Host header.",
			"CDN やプロキシから API 自身のホスト名を Host として送ってください。",
		},
		Source: "API Gateway developer guide, HTTP APIs; CloudFront developer guide, Managed origin request policies",
	},
	{
		Cause: "endpoint.disabled", Link: LinkEndpoint, Level: Fault, Sees: sees404,
		Says: phrase{"the default endpoint of the API is disabled", "API のデフォルトエンドポイントが無効です"},
		Does: phrase{
			"Use the custom domain, or enable the default endpoint and deploy.",
			"カスタムドメインを使うか、エンドポイントを有効にしてデプロイしてください。",
		},
		Source: ofEndpoint,
	},

	{
		Cause: "stage.missing", Link: LinkStage, Level: Fault, Sees: sees404,
		Says: phrase{
			"the API has neither a stage \"{stage}\" nor a stage $default; its stages are: {stages}",
			"API にステージ「{stage}」も $default もありません。あるのは {stages} です",
		},
		Does: phrase{"Use an existing stage, or create this one.",
			"存在するステージを使うか、このステージを作成してください。"},
		Source: ofStages,
	},
	{
		Cause: "stage.left-out", Link: LinkStage, Level: Fault, Sees: sees404,
		Says: phrase{
			"the URL does not name a stage; with the stage, the path is {path}",
			"URL にステージがありません。正しいパスは {path} です",
		},
		Does: phrase{
			"Put the stage before the path, or create a stage named $default.",
			"パスの前にステージを付けるか、$default ステージを作成してください。",
		},
		Source: ofStages,
	},
	{
		Cause: "stage.shadows-path", Link: LinkStage, Level: Fault, Sees: sees404,
		Says: phrase{
			"stage {stage} receives the requests meant for route {route} of stage $default",
			"ステージ {stage} が、$default ステージのルート {route} へのリクエストを受け取っています",
		},
		Does: phrase{"Rename the stage, or the first segment of the path.",
			"ステージ名またはパスの先頭を変更してください。"},
		Source: ofStages,
	},
	{
		Cause: "stage.not-deployed", Link: LinkStage, Level: Fault, Sees: sees404,
		Says: phrase{"nothing was ever deployed to stage {stage}", "ステージ {stage} には一度もデプロイされていません"},
		Does: phrase{
			"Create a deployment, or turn on automatic deployment for the stage.",
			"デプロイを作成するか、自動デプロイを有効にしてください。",
		},
		Source: ofStages,
	},
	{
		Cause: "stage.stale", Link: LinkStage, Level: Fault, Sees: "the previous response, or " + sees404,
		Says: phrase{
			"stage {stage} does not serve the latest definition: {routes}",
			"ステージ {stage} は最新の定義を配信していません: {routes}",
		},
		Does:   phrase{"Create a deployment.", "デプロイを作成してください。"},
		Source: ofStages,
	},
	{
		Cause: "stage.deploy-failed", Link: LinkStage, Level: Warning, Sees: "the previous response, or " + sees404,
		Says: phrase{"the last deployment to stage {stage} failed: {why}",
			"ステージ {stage} への最後のデプロイが失敗しました: {why}"},
		Does: phrase{"Fix what the message names, then deploy again.",
			"メッセージの問題を直して再デプロイしてください。"},
		Source: ofStages,
	},
	{
		Cause: "stage.throttled", Link: LinkStage, Level: Fault, Sees: sees429,
		Says: phrase{
			"the limit of {stage} is {rate} requests per second, with a burst of {burst}",
			"{stage} の上限は毎秒 {rate} 件、同時 {burst} 件までしか通しません",
		},
		Does: phrase{
			"Set both the rate and the burst: a limit that is not set counts as 0.",
			"レートとバーストの両方を設定してください。設定しない方は 0 になります。",
		},
		Source: ofThrottling,
	},

	{
		Cause: "route.missing", Link: LinkRoute, Level: Fault, Sees: sees404,
		Says: phrase{"stage {stage} has no route for {request}",
			"ステージ {stage} に {request} のルートがありません"},
		Does: phrase{"Create the route, or request an existing path.",
			"ルートを作成するか、存在するパスを指定してください。"},
		Source: ofRouting,
	},
	{
		Cause: "route.method", Link: LinkRoute, Level: Fault, Sees: sees404,
		Says: phrase{
			"no route matches {request}: {near} has the same path with another method",
			"{request} のルートがありません。{near} は同じパスの別メソッドです",
		},
		Does: phrase{
			"Create a route for this method. An HTTP API answers 404, never 405.",
			"このメソッドのルートを作成してください。HTTP API は 405 ではなく 404 を返します。",
		},
		Source: ofRouting,
	},
	{
		Cause: "route.greedy-parent", Link: LinkRoute, Level: Fault, Sees: sees404,
		Says: phrase{
			"no route matches {request}: {near} matches only paths below it, not the path itself",
			"{request} のルートがありません。{near} はその配下だけに一致します",
		},
		Does:   phrase{"Create a route for the path itself.", "そのパス自身のルートを作成してください。"},
		Source: ofRouting,
	},
	{
		Cause: "route.trailing-slash", Link: LinkRoute, Level: Fault, Sees: sees404,
		Says: phrase{
			"no route matches {request}: {near} has the path without the slash at the end",
			"{request} のルートがありません。{near} は末尾のスラッシュがないパスです",
		},
		Does:   phrase{"Remove the slash at the end of the path.", "末尾のスラッシュを外してください。"},
		Source: ofRouting,
	},
	{
		Cause: "route.case", Link: LinkRoute, Level: Fault, Sees: sees404,
		Says: phrase{
			"no route matches {request}: {near} differs only in upper and lower case",
			"{request} のルートがありません。{near} とは大文字小文字が違います",
		},
		Does: phrase{
			"Paths are case-sensitive: write the path as the route has it.",
			"パスは大文字小文字を区別します。ルートの表記に合わせてください。",
		},
		Source: ofRouting,
	},
	{
		Cause: "route.no-target", Link: LinkRoute, Level: Fault, Sees: sees404,
		Says:   phrase{"route {route} has no integration", "ルート {route} に統合がありません"},
		Does:   phrase{"Attach an integration to the route.", "ルートに統合を設定してください。"},
		Source: ofRouting,
	},
	{
		Cause: "route.integration-gone", Link: LinkRoute, Level: Fault, Sees: sees500,
		Says: phrase{"route {route} points to {target}, which does not exist",
			"ルート {route} の {target} は存在しません"},
		Does:   phrase{"Attach an existing integration to the route.", "存在する統合をルートに設定してください。"},
		Source: ofRouting,
	},
}

// toTheFunction are the causes between a route and its function.
var toTheFunction = []Entry{
	{
		Cause: "integration.function-missing", Link: LinkIntegration, Level: Fault, Sees: sees500,
		Says: phrase{
			"the integration points to function {function}, which does not exist in {region}",
			"統合が指す関数 {function} は {region} に存在しません",
		},
		Does: phrase{
			"Point the integration to an existing function, or create the function.",
			"存在する関数を統合に指定するか、関数を作成してください。",
		},
		Source: ofIntegration,
	},
	{
		Cause: "integration.qualifier-missing", Link: LinkIntegration, Level: Fault, Sees: sees500,
		Says: phrase{
			"the integration points to {function}:{qualifier}, but the function has no such version or alias " +
				"(aliases: {aliases})",
			"統合が指す {function}:{qualifier} というバージョンまたはエイリアスはありません（エイリアス: {aliases}）",
		},
		Does: phrase{
			"Create the alias, or point the integration to an existing one.",
			"エイリアスを作成するか、存在するものを統合に指定してください。",
		},
		Source: ofIntegration,
	},
	{
		Cause: "integration.stage-variable", Link: LinkIntegration, Level: Fault, Sees: sees500,
		Says: phrase{
			"the integration uses the stage variable {variable}, which stage {stage} does not set",
			"統合が使うステージ変数 {variable} が、ステージ {stage} に設定されていません",
		},
		Does:   phrase{"Set the variable on the stage.", "ステージに変数を設定してください。"},
		Source: "API Gateway developer guide, Use stage variables for HTTP APIs",
	},
	{
		Cause: "integration.uri", Link: LinkIntegration, Level: Fault, Sees: sees500,
		Says: phrase{
			"the integration's URI does not name a Lambda function: {uri}",
			"統合の URI が Lambda 関数を指していません: {uri}",
		},
		Does: phrase{"Set the integration's URI to the ARN of the function.",
			"統合の URI に関数の ARN を指定してください。"},
		Source: ofIntegration,
	},
	{
		Cause: "integration.method", Link: LinkIntegration, Level: Fault, Sees: sees500,
		Says: phrase{
			"the integration invokes the function with {method}; Lambda accepts only POST",
			"統合が {method} で関数を呼び出しています。Lambda は POST だけを受け付けます",
		},
		Does:   phrase{"Set the integration's method to POST.", "統合メソッドを POST にしてください。"},
		Source: ofIntegration,
	},
	{
		Cause: "integration.elsewhere", Link: LinkIntegration, Level: Fault, Sees: sees500,
		Says: phrase{
			"the function is in {region}, but the API is in another region",
			"関数は API と別のリージョン {region} にあります",
		},
		Does:   phrase{"Create the function in the API's region.", "関数を API と同じリージョンに作成してください。"},
		Source: ofIntegration,
	},
	{
		Cause: "integration.other", Link: LinkIntegration, Level: Note,
		Says: phrase{
			"integration {integration} is of type {kind}, which this doctor does not check",
			"統合 {integration} は {kind} です。この診断の対象外です",
		},
		Does:   phrase{"Check the server behind it.", "その先のサーバーを確認してください。"},
		Source: ofIntegration,
	},
	{
		Cause: "integration.payload-format", Link: LinkIntegration, Level: Fault, Sees: sees500,
		Says: phrase{
			"the function expects payload format {format}, but the integration sends another",
			"関数はペイロード形式 {format} のイベントを読みますが、統合は別の形式を送っています",
		},
		Does: phrase{
			"Change the integration's payload format, or read the event in the format that is sent.",
			"統合のペイロード形式を合わせるか、送られる形式で読んでください。",
		},
		Source: ofIntegration,
	},
	{
		Cause: "integration.role", Link: LinkIntegration, Level: Fault, Sees: sees500,
		Says: phrase{
			"API Gateway may not invoke function {function} with the role {role}: {lacks} is missing",
			"API Gateway はロール {role} で関数 {function} を呼び出せません: {lacks} がありません",
		},
		Does: phrase{
			"Let apigateway.amazonaws.com assume the role and the role invoke the function, or remove the role.",
			"ロールの信頼に apigateway.amazonaws.com を、権限に関数の呼び出しを追加するか、" +
				"ロール指定を外してください。",
		},
		Source: ofIntegration,
	},
	{
		Cause: "integration.caller-role", Link: LinkIntegration, Level: Fault, Sees: sees500,
		Says: phrase{
			"the integration invokes the function as the caller, who must sign the request and be allowed to invoke it",
			"統合は呼び出し元自身の権限で関数を呼び出します。署名と権限が必要です",
		},
		Does: phrase{
			"Allow the callers lambda:InvokeFunction, or remove the credentials from the integration.",
			"呼び出し元に lambda:InvokeFunction を許可するか、統合の認証情報を外してください。",
		},
		Source: ofIntegration,
	},
	{
		Cause: "integration.path", Link: LinkIntegration, Level: Fault, Sees: "a 404 from the app",
		Says: phrase{
			"the integration replaces the path with {to}, which the app does not know",
			"統合がパスを {to} に置き換えており、アプリが認識できません",
		},
		Does: phrase{
			"Remove the parameter mapping overwrite:path, or map to a path that the app knows.",
			"overwrite:path を外すか、アプリのパスに合わせてください。",
		},
		Source: "API Gateway developer guide, Transform API requests and responses for HTTP APIs",
	},
	{
		Cause: "integration.timeout", Link: LinkIntegration, Level: Fault, Sees: sees503,
		Says: phrase{
			"the function did not answer within the integration's timeout of {millis} ms; it may still be running",
			"関数が統合の制限 {millis} ミリ秒以内に応答しませんでした。まだ実行中の可能性があります",
		},
		Does: phrase{
			"Make the function faster, or answer at once and work later. API Gateway waits at most 30 s.",
			"関数を速くするか、先に応答して後で処理してください。API Gateway は最長 30 秒しか待ちません。",
		},
		Source: ofQuotas,
	},

	{
		Cause: "permission.none", Link: LinkPermission, Level: Fault, Sees: sees500,
		Says: phrase{
			"API Gateway may not invoke function {function}: it has no resource-based policy",
			"API Gateway は関数 {function} を呼び出せません。リソースベースのポリシーがありません",
		},
		Does:   phrase{"Allow API Gateway to invoke the function.", "API Gateway に呼び出しを許可してください。"},
		Source: ofTrouble,
	},
	{
		Cause: "permission.no-apigateway", Link: LinkPermission, Level: Fault, Sees: sees500,
		Says: phrase{
			"API Gateway may not invoke function {function}: its policy allows only others",
			"API Gateway は関数 {function} を呼び出せません。ポリシーは別の相手向けです",
		},
		Does:   phrase{"Allow API Gateway to invoke the function.", "API Gateway に呼び出しを許可してください。"},
		Source: ofTrouble,
	},
	{
		Cause: "permission.account", Link: LinkPermission, Level: Fault, Sees: sees500,
		Says: phrase{
			"API Gateway may not invoke function {function}: statement {sid} names another account, or none",
			"API Gateway は関数 {function} を呼び出せません。ステートメント {sid} のアカウントが違うか空です",
		},
		Does: phrase{"Put the API's account into the source ARN.",
			"ソース ARN に API のアカウントを書いてください。"},
		Source: ofARN,
	},
	{
		Cause: "permission.region", Link: LinkPermission, Level: Fault, Sees: sees500,
		Says: phrase{
			"API Gateway may not invoke function {function}: statement {sid} names another region or partition",
			"API Gateway は関数 {function} を呼び出せません。" +
				"ステートメント {sid} のリージョンまたはパーティションが違います",
		},
		Does:   phrase{"Put the API's region into the source ARN.", "ソース ARN に API のリージョンを書いてください。"},
		Source: ofARN,
	},
	{
		Cause: "permission.other-api", Link: LinkPermission, Level: Fault, Sees: sees500,
		Says: phrase{
			"API Gateway may not invoke function {function}: statement {sid} is for another API",
			"API Gateway は関数 {function} を呼び出せません。ステートメント {sid} は別の API 用です",
		},
		Does:   phrase{"Put this API's id into the source ARN.", "ソース ARN にこの API の ID を書いてください。"},
		Source: ofARN,
	},
	{
		Cause: "permission.deleted-api", Link: LinkPermission, Level: Fault, Sees: sees500,
		Says: phrase{
			"API Gateway may not invoke function {function}: statement {sid} is for an API that no longer exists",
			"API Gateway は関数 {function} を呼び出せません。ステートメント {sid} の API は削除済みです",
		},
		Does: phrase{
			"An API that is created again gets a new id: grant permission again.",
			"作り直した API は ID が変わります。許可し直してください。",
		},
		Source: ofARN,
	},
	{
		Cause: "permission.stage", Link: LinkPermission, Level: Fault, Sees: sees500,
		Says: phrase{
			"API Gateway may not invoke function {function}: statement {sid} is for a stage other than {stage}",
			"API Gateway は関数 {function} を呼び出せません。ステートメント {sid} はステージ {stage} 用ではありません",
		},
		Does:   phrase{"Grant permission for this stage.", "このステージを許可してください。"},
		Source: ofARN,
	},
	{
		Cause: "permission.method", Link: LinkPermission, Level: Fault, Sees: sees500,
		Says: phrase{
			"API Gateway may not invoke function {function} for {route}: statement {sid} is for another method",
			"API Gateway は {route} で関数 {function} を呼び出せません。ステートメント {sid} のメソッドが違います",
		},
		Does: phrase{
			"Put the request's method into the source ARN, or * for an ANY route.",
			"リクエストのメソッドを書き、ANY には * を使ってください。",
		},
		Source: ofARN,
	},
	{
		Cause: "permission.path", Link: LinkPermission, Level: Fault, Sees: sees500,
		Says: phrase{
			"API Gateway may not invoke function {function} for {route}: statement {sid} is for another path",
			"API Gateway は {route} で関数 {function} を呼び出せません。ステートメント {sid} のパスが違います",
		},
		Does:   phrase{"Grant permission for this route.", "このルートを許可してください。"},
		Source: ofARN,
	},
	{
		Cause: "permission.default-route", Link: LinkPermission, Level: Fault, Sees: sees500,
		Says: phrase{
			"API Gateway may not invoke function {function} for {route}: statement {sid} has the wrong number " +
				"of segments; the ARN of $default ends in STAGE/$default",
			"API Gateway は {route} で関数 {function} を呼び出せません。" +
				"ステートメント {sid} の区切りの数が合いません。$default の ARN は " +
				"STAGE/$default です",
		},
		Does:   phrase{"Grant STAGE/$default, without a method.", "メソッドなしの STAGE/$default を許可してください。"},
		Source: ofTrouble,
	},
	{
		Cause: "permission.mangled-arn", Link: LinkPermission, Level: Fault, Sees: sees500,
		Says: phrase{
			"API Gateway may not invoke function {function}: the source ARN of statement {sid} is malformed",
			"API Gateway は関数 {function} を呼び出せません。ステートメント {sid} のソース ARN が壊れています",
		},
		Does: phrase{
			"In a shell, put the ARN in single quotes: in double quotes, $default expands to nothing.",
			"シェルでは ARN を単一引用符で囲んでください。二重引用符では $default が消えます。",
		},
		Source: ofARN,
	},
	{
		Cause: "permission.qualifier", Link: LinkPermission, Level: Fault, Sees: sees500,
		Says: phrase{
			"API Gateway may not invoke {function}: the permission is on {elsewhere}, but each version and " +
				"alias has its own policy",
			"API Gateway は {function} を呼び出せません。許可は {elsewhere} にあり、" +
				"ポリシーはバージョンとエイリアスごとに別です",
		},
		Does: phrase{
			"Grant permission on exactly the version or alias that the integration names: deploy permit --api ID does.",
			"統合が指すバージョンまたはエイリアスに許可を付けてください (deploy permit --api ID)。",
		},
		Source: ofPolicy,
	},
	{
		Cause: "permission.principal", Link: LinkPermission, Level: Fault, Sees: sees500,
		Says: phrase{
			"API Gateway may not invoke function {function}: the principal of statement {sid} is {value}",
			"API Gateway は関数 {function} を呼び出せません。ステートメント {sid} の相手は {value} です",
		},
		Does: phrase{"The principal must be apigateway.amazonaws.com.",
			"プリンシパルは apigateway.amazonaws.com にしてください。"},
		Source: ofPermission,
	},
	{
		Cause: "permission.action", Link: LinkPermission, Level: Fault, Sees: sees500,
		Says: phrase{
			"API Gateway may not invoke function {function}: statement {sid} allows only {value}",
			"API Gateway は関数 {function} を呼び出せません。ステートメント {sid} が許すのは {value} です",
		},
		Does: phrase{"The action must be lambda:InvokeFunction.",
			"アクションは lambda:InvokeFunction にしてください。"},
		Source: ofPermission,
	},
	{
		Cause: "permission.condition", Link: LinkPermission, Level: Fault, Sees: sees500,
		Says: phrase{
			"API Gateway may not invoke function {function}: a condition of statement {sid} is not met",
			"API Gateway は関数 {function} を呼び出せません。ステートメント {sid} の条件を満たしません",
		},
		Does: phrase{"Use only the source ARN and the account as conditions.",
			"ソース ARN とアカウントだけを条件にしてください。"},
		Source: ofPermission,
	},
	{
		Cause: "permission.too-wide", Link: LinkPermission, Level: Warning,
		Says: phrase{
			"statement {sid} of {function} lets every API of every account invoke it",
			"{function} のステートメント {sid} は、あらゆるアカウントの API に呼び出しを許しています",
		},
		Does: phrase{"Replace it with a statement that has a source ARN.",
			"ソース ARN 付きのステートメントに置き換えてください。"},
		Source: ofPermission,
	},
	{
		Cause: "permission.full", Link: LinkPermission, Level: Warning,
		Says: phrase{
			"the policy of {function} has {size} of at most 20,480 bytes, with no room for another statement",
			"{function} のポリシーは上限 20,480 バイトのうち {size} バイトで、追加の余地がありません",
		},
		Does: phrase{
			"Remove statements for deleted APIs, or grant the whole stage: deploy permit --scope stage.",
			"削除済み API の文を消すか、deploy permit --scope stage で広く許可してください。",
		},
		Source: "Lambda quotas",
	},
	{
		Cause: "permission.left-over", Link: LinkPermission, Level: Warning,
		Says: phrase{
			"statement {sid} of {function} is for API {api}, which no longer exists",
			"{function} のステートメント {sid} の API {api} は削除済みです",
		},
		Does: phrase{"Remove it, unless another region or account has that API.",
			"他のリージョンやアカウントで使っていなければ削除してください。"},
		Source: ofPolicy,
	},
}
