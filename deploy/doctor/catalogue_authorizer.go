package doctor

// atTheAuthorizer are the causes of CORS and authorization.
var atTheAuthorizer = []Entry{
	{
		Cause: "cors.off", Link: LinkCORS, Level: Fault, Sees: "the browser blocks the response",
		Says: phrase{
			"the response does not allow the page's origin {origin}, and the API has no CORS configuration",
			"応答がオリジン {origin} を許可しておらず、API に CORS 設定がありません",
		},
		Does: phrase{
			"Configure CORS on the API, or send the CORS headers from the app.",
			"API に CORS を設定するか、アプリでヘッダーを返してください。",
		},
		Source: ofCORS,
	},
	{
		Cause: "cors.origin", Link: LinkCORS, Level: Fault, Sees: "the browser blocks the response",
		Says: phrase{
			"the API's CORS configuration does not allow the origin {origin}",
			"API の CORS 設定がオリジン {origin} を許可していません",
		},
		Does: phrase{
			"Add the origin exactly as the browser sends it: scheme, host and port.",
			"ブラウザーが送る形（スキーム・ホスト・ポート）でオリジンを追加してください。",
		},
		Source: ofCORS,
	},
	{
		Cause: "cors.method", Link: LinkCORS, Level: Fault, Sees: "the browser blocks the request",
		Says: phrase{"the preflight response does not allow the method {method}",
			"プリフライトがメソッド {method} を許可していません"},
		Does:   phrase{"Add the method to the CORS configuration.", "CORS 設定にメソッドを追加してください。"},
		Source: ofCORS,
	},
	{
		Cause: "cors.header", Link: LinkCORS, Level: Fault, Sees: "the browser blocks the request",
		Says: phrase{
			"the preflight response does not allow all requested headers: {headers}",
			"プリフライトがヘッダー {headers} のいずれかを許可していません",
		},
		Does:   phrase{"Add the headers to the CORS configuration.", "CORS 設定にヘッダーを追加してください。"},
		Source: ofCORS,
	},
	{
		Cause: "cors.credentials", Link: LinkCORS, Level: Fault, Sees: "the browser blocks the response",
		Says: phrase{
			"the request has cookies, but the response allows every origin with *, so browsers reject it",
			"Cookie 付きのリクエストに * で応答しており、ブラウザーが拒否します",
		},
		Does: phrase{"Allow the origin by name, and allow credentials.",
			"オリジンを明示し、認証情報を許可してください。"},
		Source: ofCORS,
	},
	{
		Cause: "cors.preflight-authorized", Link: LinkCORS, Level: Fault, Sees: sees401,
		Says: phrase{
			"route {route} receives the preflight and requires authorization for it",
			"ルート {route} がプリフライトを受け取り、認可を要求しています",
		},
		Does: phrase{
			"Add a route OPTIONS /{proxy+} without an authorizer.",
			"オーソライザーなしの OPTIONS /{proxy+} ルートを追加してください。",
		},
		Source: ofCORS,
	},
	{
		Cause: "cors.twice", Link: LinkCORS, Level: Fault, Sees: "the browser blocks the response",
		Says: phrase{"the response allows more than one origin: {allowed}",
			"応答が複数のオリジンを返しています: {allowed}"},
		Does: phrase{
			"Send the header only once: either from the app or from API Gateway.",
			"ヘッダーはアプリか API Gateway のどちらか一方で返してください。",
		},
		Source: ofCORS,
	},

	{
		Cause: "jwt.missing", Link: LinkAuthorizer, Level: Fault, Sees: sees401,
		Says: phrase{"the request has no token in {source}", "リクエストの {source} にトークンがありません"},
		Does: phrase{
			"Send the token in the header: Authorization: Bearer TOKEN.",
			"トークンをヘッダーで送ってください: Authorization: Bearer TOKEN。",
		},
		Source: ofJWT,
	},
	{
		Cause: "jwt.identity-source", Link: LinkAuthorizer, Level: Fault, Sees: sees401,
		Says: phrase{
			"the authorizer expects the token in {source}, but the request has it in {elsewhere}",
			"オーソライザーは {source} を見ますが、トークンは {elsewhere} にあります",
		},
		Does: phrase{
			"Send the token where the authorizer expects it, or change the authorizer's identity source.",
			"オーソライザーが見る場所にトークンを送るか、ID ソースを変更してください。",
		},
		Source: ofJWT,
	},
	{
		Cause: "jwt.malformed", Link: LinkAuthorizer, Level: Fault, Sees: sees401,
		Says: phrase{"the token cannot be read: {why}", "トークンを読めません: {why}"},
		Does: phrase{"Send a JSON Web Token with three parts.",
			"3 つの部分からなる JSON Web Token を送ってください。"},
		Source: ofJWT,
	},
	{
		Cause: "jwt.issuer-unreachable", Link: LinkAuthorizer, Level: Fault, Sees: sees401,
		Says: phrase{"the keys of the issuer {issuer} cannot be fetched", "発行者 {issuer} の鍵を取得できません"},
		Does: phrase{
			"The issuer must serve /.well-known/openid-configuration and its keys publicly, within 1.5 s.",
			"発行者は /.well-known/openid-configuration と鍵を 1.5 秒以内に公開する必要があります。",
		},
		Source: ofJWT,
	},
	{
		Cause: "jwt.algorithm", Link: LinkAuthorizer, Level: Fault, Sees: sees401,
		Says: phrase{
			"the token is signed with {algorithm}; API Gateway accepts only RSA signatures",
			"トークンの署名は {algorithm} です。API Gateway は RSA 署名だけを受け付けます",
		},
		Does:   phrase{"Have the issuer sign with RS256.", "発行者の署名を RS256 にしてください。"},
		Source: ofJWT,
	},
	{
		Cause: "jwt.issuer", Link: LinkAuthorizer, Level: Fault, Sees: sees401,
		Says: phrase{
			"the token's issuer is {value}, but the authorizer requires exactly {issuer}",
			"トークンの発行者は {value}、オーソライザーの発行者は {issuer} です（完全一致が必要）",
		},
		Does: phrase{"Make both identical, including any slash at the end.",
			"末尾のスラッシュも含めて一致させてください。"},
		Source: ofJWT,
	},
	{
		Cause: "jwt.expired", Link: LinkAuthorizer, Level: Fault, Sees: sees401,
		Says: phrase{"the token has expired or is not valid yet", "トークンは現在有効ではありません"},
		Does: phrase{"Get a new token, and check the issuer's clock.",
			"トークンを取り直し、発行者の時計を確認してください。"},
		Source: ofJWT,
	},
	{
		Cause: "jwt.audience", Link: LinkAuthorizer, Level: Fault, Sees: sees401,
		Says: phrase{
			"the token's audience is {value}, but the authorizer requires {audience}",
			"トークンの対象は {value}、オーソライザーの対象は {audience} です",
		},
		Does: phrase{
			"Request a token for this audience. client_id counts only if aud is absent.",
			"正しい対象のトークンを取得してください。client_id は aud がない場合だけ有効です。",
		},
		Source: ofJWT,
	},
	{
		Cause: "jwt.scope", Link: LinkAuthorizer, Level: Fault, Sees: sees403,
		Says: phrase{
			"the token has the scopes {value}, but {route} requires one of {scopes}",
			"トークンのスコープは {value} ですが、{route} には {scopes} のいずれかが必要です",
		},
		Does:   phrase{"Request a token with one of these scopes.", "必要なスコープのトークンを取得してください。"},
		Source: ofJWT,
	},
	{
		Cause: "jwt.signature", Link: LinkAuthorizer, Level: Fault, Sees: sees401,
		Says: phrase{
			"the issuer publishes no RSA key that verifies the token's signature",
			"発行者の公開鍵でトークンの署名を検証できません",
		},
		Does: phrase{
			"Get a token that is signed with a key that the issuer publishes.",
			"発行者が公開している鍵で署名されたトークンを使ってください。",
		},
		Source: ofJWT,
	},
	{
		Cause: "authorizer.not-callable", Link: LinkAuthorizer, Level: Fault, Sees: sees500,
		Says: phrase{
			"API Gateway may not invoke the authorizer {authorizer} (function {function})",
			"API Gateway はオーソライザー {authorizer}（関数 {function}）を呼び出せません",
		},
		Does: phrase{
			"Grant permission by the authorizer's id: API-ID/authorizers/AUTHORIZER-ID.",
			"API-ID/authorizers/AUTHORIZER-ID の形で許可してください。",
		},
		Source: ofAuthorizer,
	},
	{
		Cause: "authorizer.identity-missing", Link: LinkAuthorizer, Level: Fault, Sees: sees401,
		Says: phrase{
			"the authorizer {authorizer} was not invoked, because the request lacks an identity source: {source}",
			"オーソライザー {authorizer} の ID ソース {source} がリクエストになく、呼び出されていません",
		},
		Does:   phrase{"Send all identity sources of the authorizer.", "すべての ID ソースを送ってください。"},
		Source: ofAuthorizer,
	},
	{
		Cause: "authorizer.fails", Link: LinkAuthorizer, Level: Fault, Sees: sees500,
		Says: phrase{
			"the authorizer {authorizer} fails: {type} {message}",
			"オーソライザー {authorizer} が失敗します: {type} {message}",
		},
		Does:   phrase{"Fix the code of the authorizer.", "オーソライザーのコードを直してください。"},
		Source: ofAuthorizer,
	},
	{
		Cause: "authorizer.shape", Link: LinkAuthorizer, Level: Fault, Sees: sees500,
		Says: phrase{
			"the authorizer {authorizer} returns a response that API Gateway rejects: {why}",
			"オーソライザー {authorizer} の応答の形式が正しくありません: {why}",
		},
		Does: phrase{
			"With simple responses, return isAuthorized; otherwise, return principalId and policyDocument.",
			"シンプルレスポンスなら isAuthorized、そうでなければ principalId と policyDocument を返してください。",
		},
		Source: ofAuthorizer,
	},
	{
		Cause: "authorizer.denies", Link: LinkAuthorizer, Level: Fault, Sees: sees403,
		Says: phrase{"the authorizer {authorizer} denies the request",
			"オーソライザー {authorizer} がリクエストを拒否しています"},
		Does: phrase{"Send what the authorizer allows, or check its code.",
			"許可される値を送るか、コードを確認してください。"},
		Source: ofAuthorizer,
	},
	{
		Cause: "authorizer.cached", Link: LinkAuthorizer, Level: Fault, Sees: sees403,
		Says: phrase{
			"the authorizer {authorizer} allows the request now, but an earlier decision is still cached",
			"オーソライザー {authorizer} は現在許可しています。以前の応答がキャッシュされています",
		},
		Does: phrase{
			"Wait for the TTL to end, or reset the cache. A policy must name all routes, because it is cached for all.",
			"TTL を待つかキャッシュをリセットしてください。ポリシーには全ルートを含めてください。",
		},
		Source: ofAuthorizer,
	},
	{
		Cause: "iam.unsigned", Link: LinkAuthorizer, Level: Fault, Sees: sees403,
		Says: phrase{
			"route {route} accepts only signed requests (AWS_IAM), but this request is not signed",
			"ルート {route} は署名付きリクエスト（AWS_IAM）だけを受け付けますが、署名がありません",
		},
		Does: phrase{
			"Sign the request, for example with curl --aws-sigv4 or awscurl.",
			"curl --aws-sigv4 や awscurl で署名してください。",
		},
		Source: ofIAM,
	},
	{
		Cause: "iam.denied", Link: LinkAuthorizer, Level: Fault, Sees: sees403,
		Says: phrase{
			"the request to {route} is signed, but its signer lacks execute-api:Invoke, or the signature is wrong",
			"{route} への署名者に execute-api:Invoke の権限がないか、署名が正しくありません",
		},
		Does: phrase{
			"Allow the signer execute-api:Invoke on the route; check the clock, region and service of the signature.",
			"署名者に execute-api:Invoke を許可し、署名の時計・リージョン・サービスを確認してください。",
		},
		Source: ofIAM,
	},
}
