package doctor

import "slices"

// Entry is what the catalogue says of a cause.
type Entry struct {
	Cause  string // a stable name
	Link   Link
	Level  Level  // unless the facts make it less
	Sees   string // what the client sees; "" where that is not one answer
	Says   text   // what is wrong
	Does   text   // what heals it, where no command does
	Source string // where the fact behind it is documented
}

// entryOf is the entry of a cause. A cause without one is a mistake of this package.
func entryOf(cause string) Entry {
	i := slices.IndexFunc(Catalogue, func(e Entry) bool { return e.Cause == cause })
	if i < 0 {
		panic("the catalogue has no cause " + cause)
	}
	return Catalogue[i]
}

// The answers of API Gateway's own.
const (
	sees500 = `500 {"message":"Internal Server Error"}`
	sees401 = `401 {"message":"Unauthorized"}`
	sees403 = `403 {"message":"Forbidden"}`
	sees404 = `404 {"message":"Not Found"}`
	sees503 = `503 {"message":"Service Unavailable"}`
	sees429 = `429 {"message":"Too Many Requests"}`
)

// Where the facts are documented. The titles are of pages of the API Gateway developer guide and the Lambda developer
// guide.
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

// Catalogue has all causes, in the order of the chain.
var Catalogue = slices.Concat(onTheWay, atTheAuthorizer, toTheFunction, inTheFunction)

// onTheWay are the causes from the client to the route.
var onTheWay = []Entry{
	{"caller.credentials", "client", Fault, "",
		text{"AWS does not accept these credentials", "AWS がこの認証情報を受け付けません"},
		text{
			"Get new credentials: aws sso login, or aws configure.",
			"認証情報を取り直してください: aws sso login または aws configure。",
		},
		"STS API reference, GetCallerIdentity"},
	{"caller.other-account", "client", Fault, "",
		text{"API {api} answers, but is not in account {account} and region {region}: it belongs to another account",
			"API {api} は応答しますが、アカウント {account} のリージョン {region} にはありません。別のアカウントの API です"},
		text{"Run this with credentials of the account that has the API.", "API を持つアカウントの認証情報で実行してください。"},
		"API Gateway V2 API reference, GetApi"},
	{"caller.rights", "client", Note, "",
		text{"these credentials may not read all: {rights} is missing", "この認証情報では読み取れないものがあります: {rights}"},
		text{"Add the rights that --print-policy prints.", "--print-policy の権限を追加してください。"},
		"IAM user guide, Troubleshoot access denied error messages"},

	{"endpoint.url", "endpoint", Fault, sees404,
		text{"the URL is not one that API Gateway serves: the stage appears twice, or it begins with http",
			"この URL は API Gateway が受け付ける形ではありません。ステージ名が二重か、http で始まっています"},
		text{"Use https://API-ID.execute-api.REGION.amazonaws.com/STAGE/path, with the stage once.",
			"https://API-ID.execute-api.REGION.amazonaws.com/STAGE/path の形で、ステージ名は一度だけ書いてください。"}, ofStages},
	{"endpoint.unreachable", "endpoint", Fault, "no answer",
		text{"{host} does not answer: {why}", "{host} から応答がありません: {why}"},
		text{"Check the name, the network, and whether a VPC endpoint with private DNS captures execute-api.",
			"名前とネットワーク、プライベート DNS 付き VPC エンドポイントの有無を確認してください。"},
		"re:Post, api-gateway-vpc-connections"},
	{"endpoint.not-ours", "endpoint", Note, "",
		text{
			"{host} is not the endpoint of an HTTP API that these credentials can look up: with --api and " +
				"--region the doctor looks at an API behind it",
			"{host} はこの認証情報で調べられる HTTP API のエンドポイントではありません。--api と " +
				"--region を指定してください",
		},
		text{"deploy doctor --api ID --region REGION", "deploy doctor --api ID --region REGION"}, ofStages},
	{"endpoint.unknown-api", "endpoint", Fault, "no such host, 403 or 404",
		text{"there is no API {api} in account {account}, region {region}",
			"アカウント {account} のリージョン {region} に API {api} はありません"},
		text{"Check the id in the URL, the region and the account.", "URL の ID、リージョン、アカウントを確認してください。"},
		"API Gateway V2 API reference, GetApi"},
	{"endpoint.rest-api", "endpoint", Note, "",
		text{"{api} \"{name}\" is a REST API, whose rules differ: this doctor judges HTTP APIs",
			"{api}「{name}」は REST API です。この診断は HTTP API だけを対象にします"},
		text{"AWS's runbook AWSSupport-TroubleshootAPIGatewayHttpErrors looks at REST APIs.",
			"REST API には AWSSupport-TroubleshootAPIGatewayHttpErrors ランブックがあります。"},
		"API Gateway developer guide, Choose between REST APIs and HTTP APIs"},
	{"endpoint.websocket-api", "endpoint", Note, "",
		text{
			"{api} is a WebSocket API: this doctor judges HTTP APIs",
			"{api} は WebSocket API です。この診断は HTTP API だけを対象にします",
		},
		text{"Connect to it with a WebSocket client.", "WebSocket クライアントで接続してください。"},
		"API Gateway V2 API reference, GetApi"},
	{"endpoint.domain-unmapped", "endpoint", Fault, sees403,
		text{"the custom domain {domain} is mapped to no API", "カスタムドメイン {domain} に API マッピングがありません"},
		text{"Map it: aws apigatewayv2 create-api-mapping.", "aws apigatewayv2 create-api-mapping で対応付けてください。"},
		ofDomain},
	{"endpoint.domain-key", "endpoint", Fault, sees403,
		text{"no mapping of the custom domain {domain} has the beginning of the path: {keys}",
			"カスタムドメイン {domain} のマッピングにパスの先頭が一致しません: {keys}"},
		text{"Begin the path with the key of a mapping, or add a mapping.", "パスをマッピングキーで始めるか、マッピングを追加してください。"},
		ofDomain},
	{"endpoint.domain-stage", "endpoint", Fault, sees403,
		text{"the custom domain {domain} is mapped to the stage {stage} of API {api}, which does not exist",
			"カスタムドメイン {domain} の対応先、API {api} のステージ {stage} は存在しません"},
		text{"Map it to a stage that exists: aws apigatewayv2 update-api-mapping.",
			"aws apigatewayv2 update-api-mapping で存在するステージに対応付けてください。"}, ofDomain},
	{"endpoint.domain-routing", "endpoint", Fault, sees403,
		text{"the custom domain {domain} goes by routing rules alone, so its API mappings do nothing: {keys}",
			"カスタムドメイン {domain} はルーティングルールだけを使うため、API マッピングは無効です: {keys}"},
		text{"Add a routing rule for the path, or let mappings act after the rules.",
			"ルーティングルールを追加するか、マッピングも使うようにしてください。"},
		"API Gateway developer guide, Send traffic to your APIs through your custom domain name"},
	{"endpoint.domain-dns", "endpoint", Fault, "no such host, or another server's answer",
		text{"the DNS record of {domain} does not lead to {target}", "{domain} の DNS レコードが {target} を指していません"},
		text{"Point the record (CNAME or alias) to the target, unless a CDN is meant to be there.",
			"レコード（CNAME またはエイリアス）をこのターゲットに向けてください（CDN を挟む場合を除く）。"}, ofDomain},
	{"endpoint.domain-certificate", "endpoint", Fault, "a TLS error",
		text{"the certificate of the custom domain {domain} is not accepted: {why}",
			"カスタムドメイン {domain} の証明書が受け付けられません: {why}"},
		text{"Set a valid certificate for this name: aws apigatewayv2 update-domain-name.",
			"この名前の有効な証明書を設定してください: aws apigatewayv2 update-domain-name。"}, ofDomain},
	{"endpoint.domain-mtls", "endpoint", Fault, sees403 + " or a TLS error",
		text{"the custom domain {domain} takes only clients with a certificate that it trusts (mutual TLS)",
			"カスタムドメイン {domain} は信頼するクライアント証明書を要求します（相互 TLS）"},
		text{"Send the request with --cert and --key, as in deploy doctor -- curl --cert client.pem …",
			"--cert と --key を付けてください: deploy doctor -- curl --cert client.pem …"},
		"API Gateway developer guide, Mutual TLS authentication for HTTP APIs"},
	{"endpoint.host-header", "endpoint", Fault, sees403,
		text{"the request names the host {other} instead of {host}, for which there is no API",
			"リクエストの Host が {host} ではなく {other} のため、API が見つかりません"},
		text{
			"Let the CDN or proxy send the API's own host name as Host.",
			"CDN やプロキシから API 自身のホスト名を Host として送ってください。",
		},
		"API Gateway developer guide, HTTP APIs; CloudFront developer guide, Managed origin request policies"},
	{"endpoint.disabled", "endpoint", Fault, sees404,
		text{"the default endpoint of the API is disabled", "API のデフォルトエンドポイントが無効です"},
		text{"Use the custom domain, or enable the endpoint and deploy.", "カスタムドメインを使うか、エンドポイントを有効にしてデプロイしてください。"},
		ofEndpoint},

	{"stage.missing", "stage", Fault, sees404,
		text{"the API has no stage \"{stage}\" and none named $default; it has {stages}",
			"API にステージ「{stage}」も $default もありません。あるのは {stages} です"},
		text{"Use an existing stage, or create this one.", "存在するステージを使うか、このステージを作成してください。"}, ofStages},
	{"stage.left-out", "stage", Fault, sees404,
		text{"the URL names no stage; with it the path is {path}", "URL にステージがありません。正しいパスは {path} です"},
		text{"Put the stage before the path, or create a stage named $default.",
			"パスの前にステージを付けるか、$default ステージを作成してください。"}, ofStages},
	{"stage.shadows-path", "stage", Fault, sees404,
		text{"the stage {stage} takes the requests that were meant for the route {route} of the stage $default",
			"ステージ {stage} が、$default ステージのルート {route} へのリクエストを受け取っています"},
		text{"Rename the stage, or the first part of the path.", "ステージ名またはパスの先頭を変更してください。"}, ofStages},
	{"stage.not-deployed", "stage", Fault, sees404,
		text{"nothing was ever deployed to the stage {stage}", "ステージ {stage} には一度もデプロイされていません"},
		text{
			"Create a deployment, or let the stage deploy automatically.",
			"デプロイを作成するか、自動デプロイを有効にしてください。",
		}, ofStages},
	{"stage.stale", "stage", Fault, "the former answer, or " + sees404,
		text{"the stage {stage} does not serve the latest definition: {routes}",
			"ステージ {stage} は最新の定義を配信していません: {routes}"},
		text{"Create a deployment.", "デプロイを作成してください。"}, ofStages},
	{"stage.deploy-failed", "stage", Warning, "the former answer, or " + sees404,
		text{"the last deployment to the stage {stage} failed: {why}", "ステージ {stage} への最後のデプロイが失敗しました: {why}"},
		text{"Fix what the message names, then deploy again.", "メッセージの問題を直して再デプロイしてください。"}, ofStages},
	{"stage.throttled", "stage", Fault, sees429,
		text{"the limit of {stage} lets {rate} requests a second through, and {burst} at once",
			"{stage} の上限は毎秒 {rate} 件、同時 {burst} 件までしか通しません"},
		text{"Set both the rate and the burst; the one that is not set is 0.",
			"レートとバーストの両方を設定してください。設定しない方は 0 になります。"}, ofThrottling},

	{"route.missing", "route", Fault, sees404,
		text{"the stage {stage} has no route for {request}", "ステージ {stage} に {request} のルートがありません"},
		text{"Create the route, or ask for an existing path.", "ルートを作成するか、存在するパスを指定してください。"}, ofRouting},
	{"route.method", "route", Fault, sees404,
		text{"no route takes {request}: {near} has the path with another method",
			"{request} のルートがありません。{near} は同じパスの別メソッドです"},
		text{"Create a route for the method; an HTTP API answers 404, never 405.",
			"このメソッドのルートを作成してください。HTTP API は 405 ではなく 404 を返します。"}, ofRouting},
	{"route.greedy-parent", "route", Fault, sees404,
		text{"no route takes {request}: {near} matches what is below it, not the path itself",
			"{request} のルートがありません。{near} はその配下だけに一致します"},
		text{"Create a route for the path itself.", "そのパス自身のルートを作成してください。"}, ofRouting},
	{"route.trailing-slash", "route", Fault, sees404,
		text{"no route takes {request}: {near} has the path without the slash at its end",
			"{request} のルートがありません。{near} は末尾のスラッシュがないパスです"},
		text{"Ask without the slash at the end.", "末尾のスラッシュを外してください。"}, ofRouting},
	{"route.case", "route", Fault, sees404,
		text{"no route takes {request}: {near} differs in capital letters",
			"{request} のルートがありません。{near} とは大文字小文字が違います"},
		text{"Paths are compared with case: ask as the route is written.", "パスは大文字小文字を区別します。ルートの表記に合わせてください。"},
		ofRouting},
	{"route.no-target", "route", Fault, sees404,
		text{"the route {route} has no integration", "ルート {route} に統合がありません"},
		text{"Attach an integration to the route.", "ルートに統合を設定してください。"}, ofRouting},
	{"route.integration-gone", "route", Fault, sees500,
		text{"the route {route} names {target}, which does not exist", "ルート {route} の {target} は存在しません"},
		text{"Attach an integration that exists to the route.", "存在する統合をルートに設定してください。"}, ofRouting},
}

// toTheFunction are the causes between a route and its function.
var toTheFunction = []Entry{
	{"integration.function-missing", "integration", Fault, sees500,
		text{"the integration names the function {function}, which does not exist in {region}",
			"統合が指す関数 {function} は {region} に存在しません"},
		text{"Point the integration to a function that exists, or create the function.",
			"存在する関数を統合に指定するか、関数を作成してください。"}, ofIntegration},
	{"integration.qualifier-missing", "integration", Fault, sees500,
		text{
			"the integration names {function}:{qualifier}, no version or alias of the function (aliases: {aliases})",
			"統合が指す {function}:{qualifier} というバージョンまたはエイリアスはありません（エイリアス: {aliases}）",
		},
		text{"Create the alias, or point the integration to one that exists.", "エイリアスを作成するか、存在するものを統合に指定してください。"},
		ofIntegration},
	{"integration.stage-variable", "integration", Fault, sees500,
		text{"the integration uses the stage variable {variable}, which the stage {stage} does not set",
			"統合が使うステージ変数 {variable} が、ステージ {stage} に設定されていません"},
		text{"Set the variable on the stage.", "ステージに変数を設定してください。"},
		"API Gateway developer guide, Use stage variables for HTTP APIs"},
	{"integration.uri", "integration", Fault, sees500,
		text{"the integration's URI names no Lambda function: {uri}", "統合の URI が Lambda 関数を指していません: {uri}"},
		text{"Use the ARN of the function as the integration's URI.", "統合の URI に関数の ARN を指定してください。"}, ofIntegration},
	{"integration.method", "integration", Fault, sees500,
		text{"the integration invokes the function with {method}; Lambda accepts only POST",
			"統合が {method} で関数を呼び出しています。Lambda は POST だけを受け付けます"},
		text{"Set the integration's method to POST.", "統合メソッドを POST にしてください。"}, ofIntegration},
	{"integration.elsewhere", "integration", Fault, sees500,
		text{"the function is in {region}, another region than the API's", "関数は API と別のリージョン {region} にあります"},
		text{"Create the function in the API's region.", "関数を API と同じリージョンに作成してください。"}, ofIntegration},
	{"integration.other", "integration", Note, "",
		text{"the integration {integration} is {kind}, which this doctor does not judge",
			"統合 {integration} は {kind} です。この診断の対象外です"},
		text{"Look at the server behind it.", "その先のサーバーを確認してください。"}, ofIntegration},
	{"integration.payload-format", "integration", Fault, sees500,
		text{"the function reads an event of payload format {format}, and the integration sends another",
			"関数はペイロード形式 {format} のイベントを読みますが、統合は別の形式を送っています"},
		text{"Set the integration's payload format, or read the event as it is sent.",
			"統合のペイロード形式を合わせるか、送られる形式で読んでください。"}, ofIntegration},
	{"integration.role", "integration", Fault, sees500,
		text{"API Gateway may not invoke the function {function} by the role {role}: {lacks} is missing",
			"API Gateway はロール {role} で関数 {function} を呼び出せません: {lacks} がありません"},
		text{"Let apigateway.amazonaws.com assume the role, and the role invoke the function; or remove the role.",
			"ロールの信頼に apigateway.amazonaws.com を、権限に関数の呼び出しを追加するか、ロール指定を外してください。"},
		ofIntegration},
	{"integration.caller-role", "integration", Fault, sees500,
		text{
			"the integration invokes the function with the caller's own identity, which must be signed and allowed to",
			"統合は呼び出し元自身の権限で関数を呼び出します。署名と権限が必要です",
		},
		text{"Let the callers lambda:InvokeFunction, or remove the credentials from the integration.",
			"呼び出し元に lambda:InvokeFunction を許可するか、統合の認証情報を外してください。"}, ofIntegration},
	{"integration.path", "integration", Fault, "a 404 of the app's own",
		text{"the integration puts {to} in place of the path, which the app does not know",
			"統合がパスを {to} に置き換えており、アプリが認識できません"},
		text{
			"Remove the mapping overwrite:path, or map to a path of the app.",
			"overwrite:path を外すか、アプリのパスに合わせてください。",
		},
		"API Gateway developer guide, Transform API requests and responses for HTTP APIs"},
	{"integration.timeout", "integration", Fault, sees503,
		text{"the function did not answer within the integration's {millis} ms; it may go on running",
			"関数が統合の制限 {millis} ミリ秒以内に応答しませんでした。まだ実行中の可能性があります"},
		text{"Make the function faster, or answer at once and work later; API Gateway waits 30 s at most.",
			"関数を速くするか、先に応答して後で処理してください。API Gateway は最長 30 秒しか待ちません。"}, ofQuotas},

	{"permission.none", "permission", Fault, sees500,
		text{"API Gateway may not invoke the function {function}: it has no resource-based policy",
			"API Gateway は関数 {function} を呼び出せません。リソースベースのポリシーがありません"},
		text{"Let API Gateway invoke the function.", "API Gateway に呼び出しを許可してください。"}, ofTrouble},
	{"permission.no-apigateway", "permission", Fault, sees500,
		text{"API Gateway may not invoke the function {function}: its policy is for others",
			"API Gateway は関数 {function} を呼び出せません。ポリシーは別の相手向けです"},
		text{"Let API Gateway invoke the function.", "API Gateway に呼び出しを許可してください。"}, ofTrouble},
	{"permission.account", "permission", Fault, sees500,
		text{"API Gateway may not invoke the function {function}: the statement {sid} names another account, or none",
			"API Gateway は関数 {function} を呼び出せません。ステートメント {sid} のアカウントが違うか空です"},
		text{"Write the account of the API into the source ARN.", "ソース ARN に API のアカウントを書いてください。"}, ofARN},
	{"permission.region", "permission", Fault, sees500,
		text{
			"API Gateway may not invoke the function {function}: the statement {sid} names another region or partition",
			"API Gateway は関数 {function} を呼び出せません。ステートメント {sid} のリージョンまたはパーティションが違います",
		},
		text{"Write the region of the API into the source ARN.", "ソース ARN に API のリージョンを書いてください。"}, ofARN},
	{"permission.other-api", "permission", Fault, sees500,
		text{"API Gateway may not invoke the function {function}: the statement {sid} is for another API",
			"API Gateway は関数 {function} を呼び出せません。ステートメント {sid} は別の API 用です"},
		text{"Write the id of this API into the source ARN.", "ソース ARN にこの API の ID を書いてください。"}, ofARN},
	{"permission.deleted-api", "permission", Fault, sees500,
		text{
			"API Gateway may not invoke the function {function}: the statement {sid} is for an API that does " +
				"not exist any more",
			"API Gateway は関数 {function} を呼び出せません。ステートメント {sid} の API は削除済みです",
		},
		text{"An API that is made again has another id: grant it anew.", "作り直した API は ID が変わります。許可し直してください。"}, ofARN},
	{"permission.stage", "permission", Fault, sees500,
		text{
			"API Gateway may not invoke the function {function}: the statement {sid} is for another stage than {stage}",
			"API Gateway は関数 {function} を呼び出せません。ステートメント {sid} はステージ {stage} 用ではありません",
		},
		text{"Grant the stage.", "このステージを許可してください。"}, ofARN},
	{"permission.method", "permission", Fault, sees500,
		text{
			"API Gateway may not invoke the function {function} for {route}: the statement {sid} is for another method",
			"API Gateway は {route} で関数 {function} を呼び出せません。ステートメント {sid} のメソッドが違います",
		},
		text{"Write the method of the request, or * for ANY.", "リクエストのメソッドを書き、ANY には * を使ってください。"}, ofARN},
	{"permission.path", "permission", Fault, sees500,
		text{
			"API Gateway may not invoke the function {function} for {route}: the statement {sid} is for another path",
			"API Gateway は {route} で関数 {function} を呼び出せません。ステートメント {sid} のパスが違います",
		},
		text{"Grant the route.", "このルートを許可してください。"}, ofARN},
	{"permission.default-route", "permission", Fault, sees500,
		text{
			"API Gateway may not invoke the function {function} for {route}: the statement {sid} has a wrong " +
				"number of parts for it; the ARN of $default ends STAGE/$default",
			"API Gateway は {route} で関数 {function} を呼び出せません。ステートメント {sid} の区切りの数が合いません。" +
				"$default の ARN は STAGE/$default です",
		},
		text{"Grant STAGE/$default, without a method.", "メソッドなしの STAGE/$default を許可してください。"}, ofTrouble},
	{"permission.mangled-arn", "permission", Fault, sees500,
		text{"API Gateway may not invoke the function {function}: the source ARN of the statement {sid} is broken",
			"API Gateway は関数 {function} を呼び出せません。ステートメント {sid} のソース ARN が壊れています"},
		text{"In a shell, put the ARN in single quotes: $default in double quotes becomes nothing.",
			"シェルでは ARN を単一引用符で囲んでください。二重引用符では $default が消えます。"}, ofARN},
	{"permission.qualifier", "permission", Fault, sees500,
		text{
			"API Gateway may not invoke {function}: the grant is on {elsewhere}, and each version and alias has a " +
				"policy of its own",
			"API Gateway は {function} を呼び出せません。許可は {elsewhere} にあり、ポリシーはバージョンとエイリアスごとに別です",
		},
		text{
			"Grant just the version or alias that the integration names.",
			"統合が指すバージョンまたはエイリアスに許可を付けてください。",
		}, ofPolicy},
	{"permission.principal", "permission", Fault, sees500,
		text{"API Gateway may not invoke the function {function}: the statement {sid} is for {value}",
			"API Gateway は関数 {function} を呼び出せません。ステートメント {sid} の相手は {value} です"},
		text{
			"The principal must be apigateway.amazonaws.com.",
			"プリンシパルは apigateway.amazonaws.com にしてください。",
		}, ofPermission},
	{"permission.action", "permission", Fault, sees500,
		text{"API Gateway may not invoke the function {function}: the statement {sid} allows {value}",
			"API Gateway は関数 {function} を呼び出せません。ステートメント {sid} が許すのは {value} です"},
		text{"The action must be lambda:InvokeFunction.", "アクションは lambda:InvokeFunction にしてください。"}, ofPermission},
	{"permission.condition", "permission", Fault, sees500,
		text{
			"API Gateway may not invoke the function {function}: the statement {sid} has a condition that is not met",
			"API Gateway は関数 {function} を呼び出せません。ステートメント {sid} の条件を満たしません",
		},
		text{"Grant API Gateway by source ARN and account alone.", "ソース ARN とアカウントだけを条件にしてください。"}, ofPermission},
	{"permission.too-wide", "permission", Warning, "",
		text{"the statement {sid} of {function} lets every API of every account invoke it",
			"{function} のステートメント {sid} は、あらゆるアカウントの API に呼び出しを許しています"},
		text{"Replace it by one with a source ARN.", "ソース ARN 付きのステートメントに置き換えてください。"}, ofPermission},
	{"permission.full", "permission", Warning, "",
		text{"the policy of {function} has {size} of at most 20,480 bytes: there is no room for another statement",
			"{function} のポリシーは上限 20,480 バイトのうち {size} バイトで、追加の余地がありません"},
		text{"Remove statements of APIs that are gone, or grant wider: deploy permit --scope stage.",
			"削除済み API の文を消すか、deploy permit --scope stage で広く許可してください。"}, "Lambda quotas"},
	{"permission.left-over", "permission", Warning, "",
		text{"the statement {sid} of {function} is for API {api}, which does not exist any more",
			"{function} のステートメント {sid} の API {api} は削除済みです"},
		text{"Remove it, if no other region or account has that API.", "他のリージョンやアカウントで使っていなければ削除してください。"}, ofPolicy},
}
