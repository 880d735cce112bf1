package doctor

// texts are the other texts of a report.
var texts = map[string]text{
	"verdict.unknown": {"nothing that was seen explains this answer", "この応答を説明できるものが見つかりませんでした"},
	"verdict.unseen":  {"too little could be seen to judge", "判断に必要な情報を確認できませんでした"},
	"verdict.healthy": {"nothing wrong", "問題は見つかりませんでした"},

	"head.api.healthy": {
		"API {api}: nothing wrong, as far as {routes} routes of its stages tell without a request",
		"API {api}: リクエストなしで分かる範囲では、ステージのルート {routes} 件に問題はありません",
	},
	"head.api.fault": {
		"API {api}: 1 fault in {routes} routes of its stages",
		"API {api}: ステージのルート {routes} 件に 1 件の問題があります",
	},
	"head.api.faults": {
		"API {api}: {faults} faults in {routes} routes of its stages",
		"API {api}: ステージのルート {routes} 件に {faults} 件の問題があります",
	},
	"head.none": {"no answer from {host}", "{host} から応答がありません"},
	"head.api-gateway": {
		"{status} {body} came from API Gateway in {millis} ms",
		"{status} {body} は API Gateway が {millis} ミリ秒で返しました",
	},
	"head.app": {
		"{status} {body} came from the app in {millis} ms",
		"{status} {body} はアプリが {millis} ミリ秒で返しました",
	},
	"head.cdn": {
		"{status} {body} came from a CDN in {millis} ms",
		"{status} {body} は CDN が {millis} ミリ秒で返しました",
	},
	"head.other": {
		"{status} {body} came from another server in {millis} ms",
		"{status} {body} は別のサーバーが {millis} ミリ秒で返しました",
	},
	"head.all-failed": {
		"All {requests} requests of the last hour failed, since {since}.",
		"直近 1 時間の {requests} 件は {since} からすべて失敗しています。",
	},
	"head.some-failed": {
		"{failures} of {requests} requests of the last hour failed.",
		"直近 1 時間の {requests} 件中 {failures} 件が失敗しています。",
	},
	"why.scp": {
		"a policy of the organization denies it, so adding a right does not help",
		"組織のポリシーが拒否しているため、権限を追加しても解決しません",
	},
	"head.not-reached":   {": the request did not reach your function.", "。リクエストは関数に届いていません。"},
	"head.app-reached":   {": gateway, permission and function work.", "。ゲートウェイ、権限、関数は動いています。"},
	"head.fine":          {": nothing wrong.", "。問題は見つかりませんでした。"},
	"head.stop":          {".", "。"},
	"head.log":           {"Log: {where}.", "ログ: {where}。"},
	"head.no-access-log": {"the access log of stage {stage} is off", "ステージ {stage} のアクセスログは無効です"},
	"head.function-log":  {"log group {group}", "ロググループ {group}"},
	"head.no-log":        {"none", "なし"},
	"close.1-fault":      {"1 fault", "問題 1 件"},
	"close.faults":       {"{n} faults", "問題 {n} 件"},
	"close.1-check":      {"1 check", "確認 1 件"},
	"close.checks":       {"{n} checks", "確認 {n} 件"},
	"close.1-call":       {"1 AWS call", "AWS 呼び出し 1 回"},
	"close.calls":        {"{n} AWS calls", "AWS 呼び出し {n} 回"},
	"head.unknown":       {"Not explained: {summary}.", "原因不明: {summary}。"},
	"head.removed":       {"These characters were taken away from the URL: {removed}", "URL から取り除いた文字: {removed}"},
	"head.added":         {"This was put before the URL: {added}", "URL の前に補ったもの: {added}"},
	"head.instead": {
		"The domain leads to API {api}, not to {instead}: this is about {api}.",
		"ドメインの対応先は {instead} ではなく API {api} です。以下は {api} についてです。",
	},
	"head.interrupted": {"Interrupted: this is what was known by then.", "中断されました。以下はそれまでに分かったことです。"},
	"close.sent":       {"sent: {sent}", "送信: {sent}"},
	"close.invoked":    {"invoked: {invoked}", "関数呼び出し: {invoked}"},
	"label.also":       {"also affected:", "ほかの影響:"},
	"label.needed":     {"needed:", "必要:"},
	"label.fix":        {"fix", "修正"},
	"label.more":       {"and {count} more", "ほか {count} 件"},

	"pass.caller": {"you are {arn}, region {region}", "{arn}、リージョン {region} として実行しています"},
	"pass.stage": {
		"HTTP API {api} \"{name}\"; stage {stage} is deployed",
		"HTTP API {api}「{name}」、ステージ {stage} はデプロイ済みです",
	},
	"pass.route": {"{request} selects the route {route}", "{request} はルート {route} に一致します"},
	"pass.permission": {
		"API Gateway may invoke the functions of {count} routes",
		"API Gateway は {count} 件のルートの関数を呼び出せます",
	},
	"pass.function": {
		"the function {function} is Active; last changed {modified} UTC",
		"関数 {function} は Active です。最終変更 {modified} UTC",
	},
	"pass.invocation": {
		"invoked directly, {function} answers in {millis} ms",
		"直接呼び出すと {function} は {millis} ミリ秒で応答します",
	},

	"skip.credentials": {
		"permission not judged: it is invoked with the role {role}",
		"ロール {role} で呼び出すため、権限は判定していません",
	},
	"skip.invocation.flag": {"not invoked (--no-invoke)", "呼び出していません（--no-invoke）"},
	"skip.invocation.method": {"not invoked: {method} may change something (add --invoke)",
		"呼び出していません。{method} は変更を伴う可能性があります（--invoke で実行）"},

	"unseen":            {"{call} could not be read ({why}): {would}", "{call} を読めませんでした（{why}）: {would}"},
	"would.caller":      {"whose credentials these are", "この認証情報の持ち主"},
	"would.api":         {"whether there is such an API, and of which kind", "この API の有無と種類"},
	"would.stages":      {"which stages there are", "ステージの一覧"},
	"would.routes":      {"which routes there are", "ルートの一覧"},
	"would.authorizers": {"who may use the routes", "ルートを使える相手"},
	"fix.authorizer":    {"lets API Gateway invoke the authorizer", "オーソライザーの呼び出しを許可"},
	"fix.issuer": {
		"takes tokens of this issuer, and no more of the former one",
		"このトークンの発行者だけを受け付ける（以前の発行者は拒否）",
	},
	"fix.audience":    {"takes tokens for that audience too", "この対象のトークンも受け付ける"},
	"fix.cache":       {"forgets what the authorizer said", "オーソライザーのキャッシュを消去"},
	"would.elsewhere": {"whether the grant is on another version or alias", "許可が別のバージョンやエイリアスにあるか"},
	"would.history":   {"how many requests failed, and since when", "失敗した件数と開始時刻"},
	"would.code":      {"whether the code has what its handler names", "コードにハンドラーがあるか"},
	"pass.code":       {"the code of {function} has {file}", "{function} のコードに {file} があります"},
	"code.bootstrap.missing": {
		"the function {function} has no file bootstrap at the top of its zip or in a layer",
		"関数 {function} の zip の直下にもレイヤーにも bootstrap がありません",
	},
	"code.bootstrap.missing.does": {
		"Name the program bootstrap, and put it at the top of the zip.",
		"プログラム名を bootstrap にして zip の直下に置いてください。",
	},
	"code.bootstrap.lines": {
		"the first line of bootstrap of the function {function} ends in CR LF, so its interpreter is not found",
		"関数 {function} の bootstrap の 1 行目が CR LF で終わり、インタープリターが見つかりません",
	},
	"code.bootstrap.lines.does": {
		"Save bootstrap with LF at the ends of its lines, as with dos2unix, and upload it again.",
		"bootstrap を LF 改行で保存し（dos2unix など）、再アップロードしてください。",
	},
	"code.handler.file": {
		"the handler of the function {function} is {handler}, and its code has no file {file}",
		"関数 {function} のハンドラーは {handler} ですが、コードに {file} がありません",
	},
	"code.handler.file.does": {
		"Set the handler to FILE.FUNCTION of a file that the zip has: aws lambda update-function-configuration --handler.",
		"zip にあるファイルの FILE.FUNCTION に直してください: aws lambda update-function-configuration --handler。",
	},
	"code.handler.folder": {
		"the handler of the function {function} is {handler}, and the file lies elsewhere in the zip: {alike}",
		"関数 {function} のハンドラーは {handler} ですが、ファイルは zip 内の別の場所にあります: {alike}",
	},
	"code.handler.folder.does": {
		"Zip the files without the folder around them, or name the folder in the handler.",
		"フォルダーを含めずに zip するか、ハンドラーにフォルダー名を含めてください。",
	},
	"code.handler.function": {
		"the handler of the function {function} is {handler}, and the file has no {name}",
		"関数 {function} のハンドラーは {handler} ですが、ファイルに {name} がありません",
	},
	"code.handler.function.does": {
		"Name the function in the handler as the file defines it, or export it under this name.",
		"ハンドラーをファイル内の関数名に合わせるか、その名前でエクスポートしてください。",
	},
	"code.import.mixed": {
		"the file of the handler {handler} of the function {function} uses {word}, which its kind of module does not know",
		"関数 {function} のハンドラー {handler} のファイルは {word} を使っていますが、モジュール形式が合いません",
	},
	"code.import.mixed.does": {
		"Make the kinds agree: .mjs or \"type\": \"module\" in package.json for import, .cjs or neither for require.",
		"import には .mjs か package.json の \"type\": \"module\"、require には .cjs（または指定なし）を使ってください。",
	},
	"code.import.syntax": {
		"the code of the function {function} cannot be read: {message}",
		"関数 {function} のコードの構文が正しくありません: {message}",
	},
	"code.import.syntax.does": {
		"Fix the line that the message names, and upload the code again.",
		"メッセージが示す行を直し、コードを再アップロードしてください。",
	},
	"would.access": {"what API Gateway logged of the request", "API Gateway がこのリクエストについて記録した内容"},
	"pass.access":  {"the access log says: {message}", "アクセスログ: {message}"},
	"why.no-lines": {"nothing was logged yet", "まだ何も記録されていません"},
	"permission.log": {
		"API Gateway may not invoke the function {function}, as the access log says",
		"アクセスログによると、API Gateway は関数 {function} を呼び出せません",
	},
	"permission.log.does": {
		"Look at the function's policy: aws lambda get-policy; the grant must name the route of this stage.",
		"関数のポリシーを確認してください: aws lambda get-policy。許可はこのステージのルートを指す必要があります。",
	},
	"integration.role.log": {
		"API Gateway may not assume the role of the integration, as the access log says",
		"アクセスログによると、API Gateway は統合のロールを引き受けられません",
	},
	"integration.role.log.does": {
		"Let apigateway.amazonaws.com assume the role, or remove the role from the integration.",
		"ロールの信頼に apigateway.amazonaws.com を追加するか、統合からロールを外してください。",
	},
	"authorizer.log": {
		"API Gateway may not invoke the authorizer, as the access log says",
		"アクセスログによると、API Gateway はオーソライザーを呼び出せません",
	},
	"authorizer.log.does": {
		"Grant the authorizer by its id: API-ID/authorizers/AUTHORIZER-ID.",
		"API-ID/authorizers/AUTHORIZER-ID の形で許可してください。",
	},
	"authorizer.shape.log": {
		"the authorizer answers what API Gateway does not take: {message}",
		"オーソライザーの応答の形式が正しくありません: {message}",
	},
	"authorizer.shape.log.does": {
		"Return isAuthorized with simple responses, else principalId and policyDocument.",
		"シンプルレスポンスなら isAuthorized、そうでなければ principalId と policyDocument を返してください。",
	},
	"response.log": {
		"the function {function} returns what API Gateway does not take, as the access log says: {message}",
		"アクセスログによると、関数 {function} の応答の形式が正しくありません: {message}",
	},
	"response.log.does": {
		"Return statusCode as a number, headers of text, and a body that is text; --invoke shows which is wrong.",
		"statusCode は数値、headers と body は文字列にしてください。--invoke で誤りを特定できます。",
	},
	"code.log": {
		"the code of the function {function} fails, as the access log says: {message}",
		"アクセスログによると、関数 {function} のコードが失敗しています: {message}",
	},
	"code.log.does": {
		"Look at the function's log, or add --invoke, which shows the error.",
		"関数のログを確認するか、--invoke を付けてエラーを表示してください。",
	},
	"integration.timeout.log": {
		"the integration did not answer in time, as the access log says: {message}",
		"アクセスログによると、統合が時間内に応答していません: {message}",
	},
	"integration.timeout.log.does": {
		"Find what the function waits for, or let API Gateway wait longer: at most 30 s.",
		"関数が待っている原因を調べるか、待ち時間を延ばしてください（最長 30 秒）。",
	},
	"fix.logs":       {"lets Lambda write the function's log", "Lambda にログの書き込みを許可"},
	"fix.log-group":  {"creates a log group", "ロググループを作成"},
	"fix.access-log": {"switches the access log of {stage} on; then ask again", "{stage} のアクセスログを有効化（その後もう一度実行）"},
	"head.next.invoke": {
		"Next: add --invoke, which invokes the function once with this request.",
		"次の手順: --invoke を付けると、このリクエストで関数を一度呼び出します。",
	},
	"head.next.log": {"Next: look at the function's log: {command}", "次の手順: 関数のログを確認してください: {command}"},
	"endpoint.domain-dns.missing": {
		"{domain} has no DNS record; it must lead to {target}",
		"{domain} の DNS レコードがありません。{target} を指す必要があります",
	},
	"endpoint.domain-dns.missing.does": {
		"Create a record for the name: a CNAME to the target, or an alias in Route 53.",
		"レコードを作成してください（ターゲットへの CNAME、または Route 53 のエイリアス）。",
	},
	"endpoint.host-header.cdn": {
		"a CDN in front of the API probably passes on the host name {host}, for which there is no API",
		"CDN が {host} を Host として渡している可能性があります。この名前の API はありません",
	},
	"endpoint.host-header.cdn.does": {
		"In CloudFront use the origin request policy AllViewerExceptHostHeader.",
		"CloudFront では AllViewerExceptHostHeader のオリジンリクエストポリシーを使ってください。",
	},
	"endpoint.private": {
		"an endpoint in this VPC took the request to {host}: its private DNS captures all names of execute-api",
		"この VPC のエンドポイントが {host} へのリクエストを受け取りました。プライベート DNS が execute-api を奪っています",
	},
	"endpoint.private.does": {
		"Switch the endpoint's private DNS off, or call the API by a custom domain.",
		"エンドポイントのプライベート DNS を無効にするか、カスタムドメインで呼び出してください。",
	},
	"stage.throttled.account": {
		"the requests of the whole account in {region} probably exceed its quota: no limit of the stage explains it",
		"ステージの上限では説明できません。アカウント全体（{region}）のクォータを超えた可能性があります",
	},
	"stage.throttled.account.does": {
		"Send fewer, retry later, or raise the quota of API Gateway: aws service-quotas.",
		"リクエストを減らすか、後で再試行するか、API Gateway のクォータを上げてください: aws service-quotas。",
	},
	"why.no-certificate": {"this client shows no certificate", "クライアント証明書がありません"},
	"would.mtls": {
		"whether the API answers: add --cert and --key to curl",
		"API の応答（curl に --cert と --key を追加）",
	},
	"would.table":    {"whether the table exists", "テーブルの有無"},
	"fix.routing":    {"lets API mappings act where no rule does", "ルールがない場合に API マッピングを使う"},
	"fix.rights":     {"prints the rights as a policy", "必要な権限をポリシーとして表示"},
	"label.chain":    {"the way of the request", "リクエストの経路"},
	"label.copy":     {"Copy", "コピー"},
	"label.copied":   {"Copied", "コピーしました"},
	"label.evidence": {"Evidence", "根拠"},
	"role.unnamed": {
		"the function {function} may not call {action}: AWS denies it, and does not say on what",
		"関数 {function} は {action} を拒否されています（対象は示されていません）",
	},
	"role.unnamed.does": {
		"Allow the function's role the action on the resource that the code uses, and look at the policy of that too.",
		"関数のロールに、コードが使うリソースへのこの操作を許可し、リソース側のポリシーも確認してください。",
	},
	"role.other": {
		"the function {function} calls AWS as {who}, not by its role {role}, and lacks the right {action}",
		"関数 {function} はロール {role} ではなく {who} として AWS を呼び出し、{action} の権限がありません",
	},
	"role.other.does": {
		"Remove the keys or the role that the code sets for its client, or give the right to whom it calls as.",
		"コードが設定している認証情報（キーやロール）を外すか、その主体に権限を付与してください。",
	},
	"role.denied.own": {
		"a policy of the role of the function {function} denies {action}",
		"関数 {function} のロール自身のポリシーが {action} を拒否しています",
	},
	"role.denied.own.does": {
		"Remove or narrow the statement with the effect Deny; an Allow does not help.",
		"Deny のステートメントを外すか狭めてください。Allow を足しても解決しません。",
	},
	"role.denied.unseen": {
		"AWS denies the function {function} {action}, which its role allows: a policy that was not read denies it",
		"関数 {function} のロールは {action} を許可していますが、読み取っていない別のポリシーが拒否しています",
	},
	"role.denied.unseen.does": {
		"Look at the policy of the resource, of its key, and of the organization; or ask again if the right is new.",
		"リソース、鍵、組織のポリシーを確認してください。権限を追加した直後なら、もう一度実行してください。",
	},
	"verdict.unjudged": {"this is no HTTP API, so it was not judged", "HTTP API ではないため、診断していません"},
	"authorizer.denies.others": {
		"the policy of the authorizer {authorizer} does not allow this route; it allows {allows}",
		"オーソライザー {authorizer} のポリシーはこのルートを許可していません。許可: {allows}",
	},
	"authorizer.denies.others.does": {
		"Return a policy that allows execute-api:Invoke on the routeArn of the event, or on all of the API: API-ID/*.",
		"イベントの routeArn、または API 全体（API-ID/*）への execute-api:Invoke を許可するポリシーを返してください。",
	},
	"authorizer.missing": {
		"the authorizer {authorizer} names the function {function}, which does not exist",
		"オーソライザー {authorizer} が指す関数 {function} は存在しません",
	},
	"authorizer.missing.does": {
		"Point the authorizer to a function that exists: aws apigatewayv2 update-authorizer --authorizer-uri.",
		"存在する関数を指定してください: aws apigatewayv2 update-authorizer --authorizer-uri。",
	},
	"integration.role.missing": {
		"the integration invokes the function {function} by the role {role}, which does not exist",
		"統合は関数 {function} をロール {role} で呼び出しますが、このロールは存在しません",
	},
	"integration.role.missing.does": {
		"Create the role, or remove it from the integration and grant API Gateway.",
		"ロールを作成するか、統合から外して API Gateway に許可してください。",
	},
	"jwt.expired.none":      {"the token has no time at which it expires (exp)", "トークンに有効期限（exp）がありません"},
	"jwt.expired.none.does": {"Have the issuer set exp.", "発行者で exp を設定してください。"},
	"jwt.scope.none": {
		"the token has no scopes, and {route} takes one of {scopes}",
		"トークンにスコープがありません。{route} には {scopes} のいずれかが必要です",
	},
	"jwt.scope.none.does": {
		"Ask for an access token with the scope; ID tokens, as of Cognito, have none.",
		"スコープ付きのアクセストークンを取得してください。Cognito などの ID トークンにはスコープがありません。",
	},
	"response.body.async": {
		"the handler of the function {function} is async, and Lambda does not await it in Python",
		"関数 {function} のハンドラーは async ですが、Lambda の Python は await しません",
	},
	"response.body.async.does": {
		"Make the handler a plain function that calls asyncio.run.",
		"ハンドラーを通常の関数にし、asyncio.run を呼び出してください。",
	},
	"response.body.value": {
		"the function {function} returns a value that JSON does not have: {message}",
		"関数 {function} が JSON にできない値を返しています: {message}",
	},
	"response.body.value.does": {
		"Return texts and numbers: encode bytes as base64 with isBase64Encoded, and Decimal as text or a number.",
		"文字列か数値を返してください。bytes は base64（isBase64Encoded）、Decimal は文字列か数値に変換してください。",
	},
	"endpoint.timeout": {"{host} does not answer in time: {why}", "{host} から時間内に応答がありません: {why}"},
	"endpoint.timeout.does": {
		"Wait longer with --timeout; API Gateway itself answers after at most 30 s.",
		"--timeout で待ち時間を延ばしてください。API Gateway 自身は 30 秒以内に応答します。",
	},
	"endpoint.url.domain": {
		"the domain's mapping leads to a stage already, and the path has its name again; it would select {near}",
		"ドメインのマッピングがステージを指しているため、パスのステージ名は不要です。外すと {near} に一致します",
	},
	"endpoint.url.domain.does": {"Leave the stage out of the path.", "パスからステージ名を外してください。"},
	"endpoint.url.doubled": {
		"the URL names the stage {stage} twice, and the app does not know the path",
		"URL にステージ {stage} が二重に含まれ、アプリがパスを認識できません",
	},
	"endpoint.url.doubled.does": {"Name the stage once.", "ステージ名は一度だけにしてください。"},
	"stage.missing.case": {
		"the API has no stage \"{stage}\": it is named {near}",
		"API にステージ「{stage}」はありません。名前は {near} です",
	},
	"stage.missing.case.does": {
		"Names of stages are compared with case: write it as it is.",
		"ステージ名は大文字小文字を区別します。表記を合わせてください。",
	},
	"would.role":  {"which right the role is missing", "ロールに足りない権限"},
	"would.lines": {"what the function logged", "関数のログの内容"},
	"would.domain": {
		"whether this is a custom domain of an API, in another region perhaps: --region",
		"API のカスタムドメインかどうか（別リージョンなら --region）",
	},
	"pass.cors": {"the preflight from {origin} is allowed", "{origin} からのプリフライトは許可されています"},
	"pass.domain": {
		"the domain {domain} is mapped to stage {stage} of API {api}",
		"ドメイン {domain} は API {api} のステージ {stage} に対応しています",
	},
	"fix.role":           {"allows the role {action} on just this resource", "このリソースだけに {action} を許可"},
	"fix.options":        {"answers preflights without an authorizer", "プリフライトをオーソライザーなしで受け付ける"},
	"label.or":           {"or", "または"},
	"label.likely":       {"likely: ", "可能性が高い: "},
	"fix.cors":           {"allows what this request asks for", "このリクエストに必要な内容を許可"},
	"fix.format":         {"sends events of format {format}", "形式 {format} のイベントを送信"},
	"would.integrations": {"what the routes lead to", "ルートの統合先"},
	"would.deployed":     {"whether the stage serves the latest definition", "ステージが最新の定義を配信しているか"},
	"would.permission":   {"whether API Gateway may invoke the function", "API Gateway が関数を呼び出せるか"},
	"would.function":     {"the state of the function", "関数の状態"},
	"would.invocation":   {"whether the function works when it is invoked directly", "直接呼び出しで関数が動くか"},
	"why.other-account": {
		"the function is of account {account}, whose owner can see it",
		"関数はアカウント {account} のもので、その所有者だけが確認できます",
	},

	"fix.permit":          {"all routes of the stage at once", "ステージの全ルートをまとめて許可"},
	"fix.add-permission":  {"the route {route}", "ルート {route} を許可"},
	"fix.list-apis":       {"lists the APIs", "API の一覧を表示"},
	"fix.enable-endpoint": {"enables the default endpoint", "デフォルトエンドポイントを有効化"},
	"fix.deploy":          {"deploys the latest definition to {stage}", "最新の定義を {stage} にデプロイ"},
	"fix.auto-deploy":     {"lets {stage} deploy each change", "{stage} で変更を自動デプロイ"},
	"fix.create-stage":    {"creates the stage {stage}, which deploys each change", "自動デプロイのステージ {stage} を作成"},
	"fix.create-route":    {"creates the route", "ルートを作成"},
	"fix.target":          {"attaches the existing integration", "既存の統合を設定"},
	"fix.throttle":        {"sets both limits to the defaults of an account", "両方の上限をアカウントの既定値に設定"},
	"fix.stage-variable": {
		"sets {variable} as the stage {stage} has it",
		"{variable} をステージ {stage} と同じ値に設定",
	},
	"fix.method":       {"sets the method to POST", "メソッドを POST に設定"},
	"fix.timeout":      {"lets API Gateway wait 30 s, the most that it can", "API Gateway の待ち時間を最長の 30 秒に設定"},
	"fix.create-alias": {"creates the alias for the latest code", "最新コードを指すエイリアスを作成"},
	"fix.uri": {
		"names the function without $LATEST, which can have no policy",
		"ポリシーを付けられない $LATEST を外す",
	},
	"fix.concurrency": {"removes the reservation", "予約を削除"},
	"fix.configure":   {"gives the function more", "関数の設定値を増やす"},
}
