package doctor

// variants are more specific texts for causes: what is wrong by key, and how to fix it by key + ".does".
var variants = map[string]phrase{
	"authorizer.denies.others": {
		"the policy that the authorizer {authorizer} returns does not allow this route; it allows {allows}",
		"オーソライザー {authorizer} のポリシーはこのルートを許可していません。許可: {allows}",
	},
	"authorizer.denies.others.does": {
		"Return a policy that allows execute-api:Invoke on the event's routeArn, or on the whole API: API-ID/*.",
		"イベントの routeArn、または API 全体（API-ID/*）への execute-api:Invoke を許可するポリシーを返してください。",
	},
	"authorizer.log": {
		"API Gateway may not invoke the authorizer, according to the access log",
		"アクセスログによると、API Gateway はオーソライザーを呼び出せません",
	},
	"authorizer.log.does": {
		"Grant permission by the authorizer's id: API-ID/authorizers/AUTHORIZER-ID.",
		"API-ID/authorizers/AUTHORIZER-ID の形で許可してください。",
	},
	"authorizer.missing": {
		"the authorizer {authorizer} points to function {function}, which does not exist",
		"オーソライザー {authorizer} が指す関数 {function} は存在しません",
	},
	"authorizer.missing.does": {
		"Point the authorizer to an existing function: aws apigatewayv2 update-authorizer --authorizer-uri.",
		"存在する関数を指定してください: aws apigatewayv2 update-authorizer --authorizer-uri。",
	},
	"authorizer.shape.log": {
		"the authorizer returns a response that API Gateway rejects: {message}",
		"オーソライザーの応答の形式が正しくありません: {message}",
	},
	"authorizer.shape.log.does": {
		"With simple responses, return isAuthorized; otherwise, return principalId and policyDocument.",
		"シンプルレスポンスなら isAuthorized、そうでなければ principalId と policyDocument を返してください。",
	},
	"caller.credentials.none": {"there are no AWS credentials", "AWS の認証情報がありません"},
	"caller.credentials.none.does": {
		"Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; aws configure sets them permanently.",
		"AWS_PROFILE か AWS_ACCESS_KEY_ID と AWS_SECRET_ACCESS_KEY を設定してください（aws configure で恒久的に" +
			"設定）。",
	},
	"code.bootstrap.lines": {
		"the first line of bootstrap of function {function} ends in CR LF, so its interpreter is not found",
		"関数 {function} の bootstrap の 1 行目が CR LF で終わり、インタープリターが見つかりません",
	},
	"code.bootstrap.lines.does": {
		"Save bootstrap with LF line endings, for example with dos2unix, and upload it again.",
		"bootstrap を LF 改行で保存し（dos2unix など）、再アップロードしてください。",
	},
	"code.bootstrap.missing": {
		"function {function} has no file bootstrap at the top of its zip or in a layer",
		"関数 {function} の zip の直下にもレイヤーにも bootstrap がありません",
	},
	"code.bootstrap.missing.does": {
		"Name the program bootstrap, and put it at the top of the zip.",
		"プログラム名を bootstrap にして zip の直下に置いてください。",
	},
	"code.handler.file": {
		"the handler of function {function} is {handler}, but its code has no file {file}",
		"関数 {function} のハンドラーは {handler} ですが、コードに {file} がありません",
	},
	"code.handler.file.does": {
		"Set the handler to the FILE.FUNCTION of a file in the zip: aws lambda update-function-configuration " +
			"--handler.",
		"zip にあるファイルの FILE.FUNCTION に直してください: aws lambda update-function-configuration --handler。",
	},
	"code.handler.folder": {
		"the handler of function {function} is {handler}, but the file is elsewhere in the zip: {alike}",
		"関数 {function} のハンドラーは {handler} ですが、ファイルは zip 内の別の場所にあります: {alike}",
	},
	"code.handler.folder.does": {
		"Zip the files without their folder, or name the folder in the handler.",
		"フォルダーを含めずに zip するか、ハンドラーにフォルダー名を含めてください。",
	},
	"code.handler.form": {
		"the handler of function {function} is {handler}, which does not name a file and a function",
		"関数 {function} のハンドラー {handler} は、ファイルと関数を示していません",
	},
	"code.handler.form.does": {
		"Set the handler to FILE.FUNCTION, without the extension of the file.",
		"ハンドラーを FILE.FUNCTION の形（拡張子なし）にしてください。",
	},
	"code.handler.function": {
		"the handler of function {function} is {handler}, but the file does not define {name}",
		"関数 {function} のハンドラーは {handler} ですが、ファイルに {name} がありません",
	},
	"code.handler.function.does": {
		"Name the function in the handler as the file defines it, or export it under that name.",
		"ハンドラーをファイル内の関数名に合わせるか、その名前でエクスポートしてください。",
	},
	"code.import.mixed": {
		"the file of the handler {handler} of function {function} uses {word}, which its module type does not support",
		"関数 {function} のハンドラー {handler} のファイルは {word} を使っていますが、モジュール形式が合いません",
	},
	"code.import.mixed.does": {
		"Use matching module types: .mjs or \"type\": \"module\" in package.json for import, .cjs or neither for " +
			"require.",
		"import には .mjs か package.json の \"type\": \"module\"、" +
			"require には .cjs（または指定なし）を使ってください。",
	},
	"code.import.syntax": {
		"the code of function {function} has a syntax error: {message}",
		"関数 {function} のコードの構文が正しくありません: {message}",
	},
	"code.import.syntax.does": {
		"Fix the line that the message names, and upload the code again.",
		"メッセージが示す行を直し、コードを再アップロードしてください。",
	},
	"code.log": {
		"the code of function {function} fails, according to the access log: {message}",
		"アクセスログによると、関数 {function} のコードが失敗しています: {message}",
	},
	"code.log.does": {
		"Check the function's log, or add --invoke, which shows the error.",
		"関数のログを確認するか、--invoke を付けてエラーを表示してください。",
	},
	"endpoint.domain-dns.missing": {
		"{domain} has no DNS record; it must point to {target}",
		"{domain} の DNS レコードがありません。{target} を指す必要があります",
	},
	"endpoint.domain-dns.missing.does": {
		"Create a record for this name: a CNAME to the target, or an alias in Route 53.",
		"レコードを作成してください（ターゲットへの CNAME、または Route 53 のエイリアス）。",
	},
	"endpoint.host-header.cdn": {
		"a CDN in front of the API probably forwards the host name {host}, and no API has that name",
		"CDN が {host} を Host として渡している可能性があります。この名前の API はありません",
	},
	"endpoint.host-header.cdn.does": {
		"In CloudFront, use the origin request policy AllViewerExceptHostHeader.",
		"CloudFront では AllViewerExceptHostHeader のオリジンリクエストポリシーを使ってください。",
	},
	"endpoint.private": {
		"a VPC endpoint in this network took the request to {host}: its private DNS captures all execute-api names",
		"この VPC のエンドポイントが {host} へのリクエストを受け取りました。" +
			"プライベート DNS が execute-api を奪っています",
	},
	"endpoint.private.does": {
		"Turn off the endpoint's private DNS, or call the API through a custom domain.",
		"エンドポイントのプライベート DNS を無効にするか、カスタムドメインで呼び出してください。",
	},
	"endpoint.timeout": {"{host} does not answer in time: {why}", "{host} から時間内に応答がありません: {why}"},
	"endpoint.timeout.does": {
		"Wait longer with --timeout; API Gateway itself answers after at most 30 s.",
		"--timeout で待ち時間を延ばしてください。API Gateway 自身は 30 秒以内に応答します。",
	},
	"endpoint.url.domain": {
		"the domain is already mapped to a stage, but the path names the stage again; without it, the path " +
			"selects {near}",
		"ドメインのマッピングがステージを指しているため、パスのステージ名は不要です。外すと {near} に一致します",
	},
	"endpoint.url.domain.does": {"Leave the stage out of the path.", "パスからステージ名を外してください。"},
	"endpoint.url.doubled": {
		"the URL names the stage {stage} twice, and the app does not recognize the path",
		"URL にステージ {stage} が二重に含まれ、アプリがパスを認識できません",
	},
	"endpoint.url.doubled.does": {"Name the stage only once.", "ステージ名は一度だけにしてください。"},
	"function.role.missing": {
		"the role {role} of function {function} does not exist",
		"関数 {function} のロール {role} は存在しません",
	},
	"function.role.missing.does": {
		"Set an existing role: aws lambda update-function-configuration --role.",
		"存在するロールを設定してください: aws lambda update-function-configuration --role。",
	},
	"function.role.trust": {
		"Lambda may not assume the role {role} of function {function}",
		"Lambda は関数 {function} のロール {role} を引き受けられません",
	},
	"function.role.trust.does": {
		"Let lambda.amazonaws.com assume the role: aws iam update-assume-role-policy.",
		"lambda.amazonaws.com にロールの引き受けを許可してください: aws iam update-assume-role-policy。",
	},
	"function.throttled.metric": {
		"Lambda throttled function {function} {count} times in the last hour",
		"直近 1 時間に Lambda が関数 {function} を {count} 回スロットリングしました",
	},
	"function.throttled.metric.does": {
		"Reserve concurrency for the function, or raise the account's quota.",
		"同時実行数を予約するか、アカウントの上限を上げてください。",
	},
	"integration.role.log": {
		"API Gateway may not assume the role of the integration, according to the access log",
		"アクセスログによると、API Gateway は統合のロールを引き受けられません",
	},
	"integration.role.log.does": {
		"Let apigateway.amazonaws.com assume the role, or remove the role from the integration.",
		"ロールの信頼に apigateway.amazonaws.com を追加するか、統合からロールを外してください。",
	},
	"integration.role.missing": {
		"the integration invokes function {function} with the role {role}, which does not exist",
		"統合は関数 {function} をロール {role} で呼び出しますが、このロールは存在しません",
	},
	"integration.role.missing.does": {
		"Create the role, or remove it from the integration and grant API Gateway permission.",
		"ロールを作成するか、統合から外して API Gateway に許可してください。",
	},
	"integration.timeout.log": {
		"the integration did not answer in time, according to the access log: {message}",
		"アクセスログによると、統合が時間内に応答していません: {message}",
	},
	"integration.timeout.log.does": {
		"Find out what the function waits for, or let API Gateway wait longer: at most 30 s.",
		"関数が待っている原因を調べるか、待ち時間を延ばしてください（最長 30 秒）。",
	},
	"jwt.expired.none":      {"the token has no expiry time (exp)", "トークンに有効期限（exp）がありません"},
	"jwt.expired.none.does": {"Have the issuer set exp.", "発行者で exp を設定してください。"},
	"jwt.scope.none": {
		"the token has no scopes, but {route} requires one of {scopes}",
		"トークンにスコープがありません。{route} には {scopes} のいずれかが必要です",
	},
	"jwt.scope.none.does": {
		"Request an access token with the scope; ID tokens, such as those of Cognito, have none.",
		"スコープ付きのアクセストークンを取得してください。Cognito などの ID トークンにはスコープがありません。",
	},
	"permission.log": {
		"API Gateway may not invoke function {function}, according to the access log",
		"アクセスログによると、API Gateway は関数 {function} を呼び出せません",
	},
	"permission.log.does": {
		"Check the function's policy with aws lambda get-policy: it must allow the route of this stage.",
		"関数のポリシーを確認してください: aws lambda get-policy。許可はこのステージのルートを指す必要があります。",
	},
	"response.body.async": {
		"the handler of function {function} is async, but in Python Lambda does not await it",
		"関数 {function} のハンドラーは async ですが、Lambda の Python は await しません",
	},
	"response.body.async.does": {
		"Make the handler a regular function that calls asyncio.run.",
		"ハンドラーを通常の関数にし、asyncio.run を呼び出してください。",
	},
	"response.body.value": {
		"function {function} returns a value that cannot be encoded as JSON: {message}",
		"関数 {function} が JSON にできない値を返しています: {message}",
	},
	"response.body.value.does": {
		"Return strings and numbers: encode bytes as base64 with isBase64Encoded, and Decimal as a string or number.",
		"文字列か数値を返してください。bytes は base64（isBase64Encoded）、Decimal は文字列か数値に変換してください。",
	},
	"response.log": {
		"function {function} returns a response that API Gateway rejects, according to the access log: {message}",
		"アクセスログによると、関数 {function} の応答の形式が正しくありません: {message}",
	},
	"response.log.does": {
		"Return a numeric statusCode, string headers and a string body; --invoke shows which one is wrong.",
		"statusCode は数値、headers と body は文字列にしてください。--invoke で誤りを特定できます。",
	},
	"role.denied.own": {
		"a policy of the role of function {function} denies {action}",
		"関数 {function} のロール自身のポリシーが {action} を拒否しています",
	},
	"role.denied.own.does": {
		"Remove or narrow the Deny statement; adding an Allow does not help.",
		"Deny のステートメントを外すか狭めてください。Allow を足しても解決しません。",
	},
	"role.denied.unseen": {
		"AWS denies function {function} the action {action}, which its role allows: a policy that was not read " +
			"denies it",
		"関数 {function} のロールは {action} を許可していますが、読み取っていない別のポリシーが拒否しています",
	},
	"role.denied.unseen.does": {
		"Check the policies of the resource, of its key and of the organization. If the permission is new, try again.",
		"リソース、鍵、組織のポリシーを確認してください。権限を追加した直後なら、もう一度実行してください。",
	},
	"role.other": {
		"function {function} calls AWS as {who}, not with its role {role}, and lacks the permission {action}",
		"関数 {function} はロール {role} ではなく {who} として AWS を呼び出し、{action} の権限がありません",
	},
	"role.other.does": {
		"Remove the keys or the role that the code sets for its client, or grant the permission to that identity.",
		"コードが設定している認証情報（キーやロール）を外すか、その主体に権限を付与してください。",
	},
	"role.table": {
		"function {function} has the name of the table {resource} in {variable}, but its role {role} allows no " +
			"action on the table's items",
		"関数 {function} は {variable} でテーブル {resource} の名前を受け取りますが、" +
			"ロール {role} はその項目への操作を許可していません",
	},
	"role.table.does": {
		"Allow the role the actions on the table that the code uses.",
		"コードがテーブルに対して行う操作を、ロールに許可してください。",
	},
	"role.unnamed": {
		"function {function} may not call {action}: AWS denies it, without naming the resource",
		"関数 {function} は {action} を拒否されています（対象は示されていません）",
	},
	"role.unnamed.does": {
		"Allow the function's role this action on the resource that the code uses, and check the resource's " +
			"own policy.",
		"関数のロールに、コードが使うリソースへのこの操作を許可し、リソース側のポリシーも確認してください。",
	},
	"stage.none": {
		"the file has no stage of the API; unless another file has one, the API answers every request with 404",
		"ファイルに API のステージがありません。ほかで作成しない限り、API はすべて 404 を返します",
	},
	"stage.none.does": {
		"Add a stage, such as $default, that deploys automatically.",
		"自動デプロイのステージ（$default など）を追加してください。",
	},
	"stage.missing.case": {
		"the API has no stage \"{stage}\": its name is {near}",
		"API にステージ「{stage}」はありません。名前は {near} です",
	},
	"stage.missing.case.does": {
		"Stage names are case-sensitive: write the name exactly as it is.",
		"ステージ名は大文字小文字を区別します。表記を合わせてください。",
	},
	"stage.throttled.account": {
		"the whole account probably exceeds its quota in {region}: no limit of the stage explains the response",
		"ステージの上限では説明できません。アカウント全体（{region}）のクォータを超えた可能性があります",
	},
	"stage.throttled.account.does": {
		"Send fewer requests, retry later, or raise the API Gateway quota: aws service-quotas.",
		"リクエストを減らすか、後で再試行するか、API Gateway のクォータを上げてください: aws service-quotas。",
	},
}
