package doctor

// texts are the other texts of a report.
var texts = map[string]text{
	"verdict.unknown": {"nothing that was seen explains this answer", "この応答を説明できるものが見つかりませんでした"},
	"verdict.unseen":  {"too little could be seen to judge", "判断に必要な情報を確認できませんでした"},
	"verdict.healthy": {"nothing wrong", "問題は見つかりませんでした"},

	"head.api.healthy": {
		"API {api}: nothing wrong in {routes} routes of its stages",
		"API {api}: ステージのルート {routes} 件に問題はありません",
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
	"close.fault":        {"1 fault", "問題 1 件"},
	"close.faults":       {"{faults} faults", "問題 {faults} 件"},
	"close.checks":       {"{checks} checks", "確認 {checks} 件"},
	"close.calls":        {"{calls} AWS calls", "AWS 呼び出し {calls} 回"},
	"close.sent":         {"sent: {sent}", "送信: {sent}"},
	"close.invoked":      {"invoked: {invoked}", "関数呼び出し: {invoked}"},
	"label.also":         {"also affected:", "ほかの影響:"},
	"label.needed":       {"needed:", "必要:"},
	"label.fix":          {"fix", "修正"},
	"label.more":         {"and {count} more", "ほか {count} 件"},

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
	"fix.issuer":        {"takes tokens of the issuer", "このトークンの発行者を受け付ける"},
	"fix.audience":      {"takes tokens for that audience too", "この対象のトークンも受け付ける"},
	"fix.cache":         {"forgets what the authorizer said", "オーソライザーのキャッシュを消去"},
	"would.role":        {"which of its rights the role lacks", "ロールに足りない権限"},
	"would.lines":       {"what the function logged", "関数のログの内容"},
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
	"fix.list-apis":       {"lists the APIs that there are", "API の一覧を表示"},
	"fix.enable-endpoint": {"enables the default endpoint", "デフォルトエンドポイントを有効化"},
	"fix.deploy":          {"deploys the latest definition to {stage}", "最新の定義を {stage} にデプロイ"},
	"fix.auto-deploy":     {"lets {stage} deploy each change", "{stage} で変更を自動デプロイ"},
	"fix.create-stage":    {"creates the stage {stage}, which deploys each change", "自動デプロイのステージ {stage} を作成"},
	"fix.create-route":    {"creates the route", "ルートを作成"},
	"fix.target":          {"attaches the integration that there is", "既存の統合を設定"},
	"fix.throttle":        {"sets both limits to the defaults of an account", "両方の上限をアカウントの既定値に設定"},
	"fix.stage-variable": {
		"sets {variable}: put the name of the function in place of VALUE",
		"{variable} を設定（VALUE を関数名に置き換え）",
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
