package doctor

// inTheFunction are the causes from the function on.
var inTheFunction = []Entry{
	{
		Cause: "function.pending", Link: LinkFunction, Level: Fault, Sees: sees500,
		Says: phrase{"function {function} is still being created: {reason}",
			"関数 {function} は作成中です: {reason}"},
		Does:   phrase{"Wait until its state is Active.", "状態が Active になるまで待ってください。"},
		Source: ofStates,
	},
	{
		Cause: "function.inactive", Link: LinkFunction, Level: Fault, Sees: sees500,
		Says: phrase{
			"function {function} was idle and must be activated again: {reason}",
			"関数 {function} は休止中で、起動が必要です: {reason}",
		},
		Does: phrase{"Try again in a minute. If it stays inactive, update its code.",
			"1 分後に再試行し、続くならコードを更新してください。"},
		Source: ofStates,
	},
	{
		Cause: "function.failed", Link: LinkFunction, Level: Fault, Sees: sees500,
		Says: phrase{"function {function} could not be created: {reason}",
			"関数 {function} を作成できませんでした: {reason}"},
		Does:   phrase{"Fix the reason, then create the function again.", "理由を直して作り直してください。"},
		Source: ofStates,
	},
	{
		Cause: "function.image", Link: LinkFunction, Level: Fault, Sees: sees500,
		Says: phrase{
			"the image of function {function} cannot be fetched: {reason}",
			"関数 {function} のイメージを取得できません: {reason}",
		},
		Does: phrase{
			"Push the image again, or let Lambda read the repository.",
			"イメージを再度プッシュするか、リポジトリの読み取りを許可してください。",
		},
		Source: ofStates,
	},
	{
		Cause: "function.runtime-retired", Link: LinkFunction, Level: Note,
		Says: phrase{
			"the runtime {value} of function {function} is retired: the function still answers, but cannot be updated",
			"関数 {function} のランタイム {value} は廃止済みです。応答はしますが変更できません",
		},
		Does:   phrase{"Move the function to a supported runtime.", "サポート中のランタイムに移行してください。"},
		Source: ofRuntime,
	},
	{
		Cause: "function.updating", Link: LinkFunction, Level: Note,
		Says: phrase{"function {function} is being updated", "関数 {function} は更新中です"},
		Does: phrase{"Wait until LastUpdateStatus is Successful.",
			"LastUpdateStatus が Successful になるまで待ってください。"},
		Source: ofStates,
	},
	{
		Cause: "function.update-failed", Link: LinkFunction, Level: Warning, Sees: "the responses of the previous code",
		Says: phrase{
			"the last update of function {function} failed, so the previous code still runs: {reason}",
			"関数 {function} の最後の更新が失敗し、以前のコードが動いています: {reason}",
		},
		Does:   phrase{"Fix the reason, then update again.", "理由を直して再度更新してください。"},
		Source: ofStates,
	},
	{
		Cause: "function.snapstart", Link: LinkFunction, Level: Fault, Sees: sees500,
		Says: phrase{
			"the snapshot of function {function} cannot be used: {reason}",
			"関数 {function} のスナップショットを使えません: {reason}",
		},
		Does:   phrase{"Publish a new version.", "新しいバージョンを発行してください。"},
		Source: ofInvoke,
	},
	{
		Cause: "function.efs", Link: LinkFunction, Level: Fault, Sees: sees500,
		Says: phrase{
			"function {function} cannot mount its file system: {reason}",
			"関数 {function} がファイルシステムをマウントできません: {reason}",
		},
		Does: phrase{"Check its mount target and security groups.",
			"マウントターゲットとセキュリティグループを確認してください。"},
		Source: ofInvoke,
	},
	{
		Cause: "function.refused", Link: LinkFunction, Level: Fault, Sees: sees500,
		Says: phrase{
			"Lambda refuses to invoke function {function}: {value} {reason}",
			"Lambda が関数 {function} を呼び出しません: {value} {reason}",
		},
		Does:   phrase{"Fix what the message names.", "メッセージの問題を直してください。"},
		Source: ofInvoke,
	},
	{
		Cause: "function.concurrency-zero", Link: LinkFunction, Level: Fault, Sees: sees500 + " or 503",
		Says: phrase{
			"the reserved concurrency of function {function} is 0, so it is never invoked",
			"関数 {function} の予約同時実行数が 0 のため、呼び出されません",
		},
		Does:   phrase{"Remove the reservation, or raise it.", "予約を削除するか、増やしてください。"},
		Source: ofConcurrency,
	},
	{
		Cause: "function.throttled", Link: LinkFunction, Level: Fault, Sees: sees500 + " or 503",
		Says: phrase{
			"Lambda throttles function {function}: {reason}",
			"Lambda が関数 {function} をスロットリングしています: {reason}",
		},
		Does: phrase{
			"Reserve concurrency for the function, or raise the account's quota.",
			"同時実行数を予約するか、アカウントの上限を上げてください。",
		},
		Source: ofConcurrency,
	},
	{
		Cause: "function.role", Link: LinkFunction, Level: Fault, Sees: sees500,
		Says: phrase{
			"Lambda may not assume the role of function {function}: {reason}",
			"Lambda が関数 {function} のロールを引き受けられません: {reason}",
		},
		Does: phrase{
			"The role's trust policy must let lambda.amazonaws.com assume it.",
			"ロールの信頼ポリシーで lambda.amazonaws.com を許可してください。",
		},
		Source: "Lambda developer guide, Execution role",
	},
	{
		Cause: "function.role-recreated", Link: LinkFunction, Level: Fault, Sees: sees500,
		Says: phrase{
			"the role of function {function} was deleted and created again, so Lambda may not decrypt the " +
				"environment variables: {reason}",
			"関数 {function} のロールが作り直されたため、Lambda が環境変数を復号できません: {reason}",
		},
		Does: phrase{
			"Set the function to another role, then back: aws lambda update-function-configuration --role.",
			"関数のロールを別のものに変えてから元に戻してください: aws lambda update-function-configuration --role。",
		},
		Source: ofRuntime,
	},
	{
		Cause: "function.kms", Link: LinkFunction, Level: Fault, Sees: sees500,
		Says: phrase{
			"Lambda cannot decrypt the environment variables of function {function}: {reason}",
			"Lambda が関数 {function} の環境変数を復号できません: {reason}",
		},
		Does: phrase{
			"Allow the role to use the key (kms:Decrypt), and check that the key is enabled.",
			"ロールに鍵の使用を許可し、鍵が有効か確認してください。",
		},
		Source: "Lambda developer guide, Troubleshoot invocation issues in Lambda",
	},

	{
		Cause: "code.architecture", Link: LinkCode, Level: Fault, Sees: sees500,
		Says: phrase{
			"the program of function {function} is not built for {architecture}",
			"関数 {function} のプログラムは {architecture} 用ではありません",
		},
		Does: phrase{
			"Build it for the function's architecture, or change the function's architecture.",
			"関数のアーキテクチャ用にビルドするか、設定を変更してください。",
		},
		Source: ofRuntime,
	},
	{
		Cause: "code.bootstrap", Link: LinkCode, Level: Fault, Sees: sees500,
		Says: phrase{
			"function {function} has no program named bootstrap at the top of its zip: {message}",
			"関数 {function} の zip の直下に bootstrap がありません: {message}",
		},
		Does: phrase{
			"Name the program bootstrap, and put it at the top of the zip.",
			"プログラム名を bootstrap にして zip の直下に置いてください。",
		},
		Source: ofRuntime,
	},
	{
		Cause: "code.not-executable", Link: LinkCode, Level: Fault, Sees: sees500,
		Says: phrase{"the program of function {function} is not executable",
			"関数 {function} のプログラムに実行権限がありません"},
		Does: phrase{"Run chmod 755 bootstrap before you zip it.",
			"zip にする前に chmod 755 bootstrap を実行してください。"},
		Source: ofRuntime,
	},
	{
		Cause: "code.dynamic-link", Link: LinkCode, Level: Fault, Sees: sees500,
		Says: phrase{
			"the program of function {function} needs a loader or library that the runtime lacks: {message}",
			"関数 {function} のプログラムに必要なローダーやライブラリがランタイムにありません: {message}",
		},
		Does: phrase{"Link it statically: CGO_ENABLED=0 go build.",
			"静的リンクにしてください: CGO_ENABLED=0 go build。"},
		Source: ofRuntime,
	},
	{
		Cause: "code.handler", Link: LinkCode, Level: Fault, Sees: sees500,
		Says: phrase{
			"function {function} has no handler {handler}: {message}",
			"関数 {function} にハンドラー {handler} がありません: {message}",
		},
		Does: phrase{"Set the handler to FILE.FUNCTION as in the zip.",
			"ハンドラーを zip 内の FILE.FUNCTION に合わせてください。"},
		Source: ofRuntime,
	},
	{
		Cause: "code.import", Link: LinkCode, Level: Fault, Sees: sees500,
		Says: phrase{
			"the code of function {function} cannot be loaded: {message}",
			"関数 {function} のコードを読み込めません: {message}",
		},
		Does: phrase{
			"Put the module, built for the runtime, into the zip or a layer, and check the file that the " +
				"handler names.",
			"ランタイム向けのモジュールを zip かレイヤーに入れてください。ハンドラーはそのファイルを指します。",
		},
		Source: ofRuntime,
	},
	{
		Cause: "code.callback", Link: LinkCode, Level: Fault, Sees: sees500,
		Says: phrase{
			"the handler of function {function} takes a callback, which {runtime} does not support",
			"関数 {function} のハンドラーはコールバック形式で、{runtime} は対応していません",
		},
		Does:   phrase{"Make the handler async.", "ハンドラーを async にしてください。"},
		Source: ofRuntime,
	},
	{
		Cause: "code.layer", Link: LinkCode, Level: Fault, Sees: sees500,
		Says: phrase{
			"an extension of function {function} does not start: {type} {message}",
			"関数 {function} の拡張機能が起動しません: {type} {message}",
		},
		Does: phrase{"Use a layer for the function's architecture and runtime.",
			"関数のアーキテクチャとランタイムに合うレイヤーを使ってください。"},
		Source: ofRuntime,
	},
	{
		Cause: "code.wrapper", Link: LinkCode, Level: Fault, Sees: sees500,
		Says: phrase{
			"the wrapper of function {function} (AWS_LAMBDA_EXEC_WRAPPER) does not start: {message}",
			"関数 {function} のラッパー（AWS_LAMBDA_EXEC_WRAPPER）が起動しません: {message}",
		},
		Does: phrase{
			"Add the layer that contains the wrapper, or remove the variable.",
			"ラッパーを含むレイヤーを追加するか、変数を削除してください。",
		},
		Source: ofRuntime,
	},
	{
		Cause: "code.init", Link: LinkCode, Level: Fault, Sees: sees500,
		Says: phrase{
			"function {function} fails while it starts: {type} {message}",
			"関数 {function} が起動時に失敗します: {type} {message}",
		},
		Does:   phrase{"Fix the code that runs before the handler.", "ハンドラーの前に動くコードを直してください。"},
		Source: ofRuntime,
	},
	{
		Cause: "code.init-timeout", Link: LinkCode, Level: Fault, Sees: sees500,
		Says: phrase{
			"function {function} does not start in time: {message}",
			"関数 {function} が時間内に起動しません: {message}",
		},
		Does: phrase{"Do less before the handler, or give it more memory.",
			"起動時の処理を減らすか、メモリを増やしてください。"},
		Source: ofRuntime,
	},
	{
		Cause: "code.crash", Link: LinkCode, Level: Fault, Sees: sees500,
		Says: phrase{"the process of function {function} exits: {message}",
			"関数 {function} のプロセスが終了します: {message}"},
		Does: phrase{"The lines above are its last output; the rest is in its log.",
			"上の行が最後の出力です。残りはログにあります。"},
		Source: ofRuntime,
	},
	{
		Cause: "code.error", Link: LinkCode, Level: Fault, Sees: sees500,
		Says: phrase{
			"the code of function {function} fails: {type} {message}",
			"関数 {function} のコードが失敗します: {type} {message}",
		},
		Does:   phrase{"Fix the line that the stack trace names.", "トレースが示す行のコードを直してください。"},
		Source: ofRuntime,
	},
	{
		Cause: "code.timeout", Link: LinkCode, Level: Fault, Sees: sees500,
		Says: phrase{
			"function {function} does not finish within its timeout of {timeout} s",
			"関数 {function} が {timeout} 秒以内に終わりません",
		},
		Does: phrase{"Raise its timeout, or find out what it waits for.",
			"タイムアウトを延ばすか、待ちの原因を調べてください。"},
		Source: ofRuntime,
	},
	{
		Cause: "code.memory", Link: LinkCode, Level: Fault, Sees: sees500,
		Says: phrase{
			"function {function} needs more than its {memory} MB of memory",
			"関数 {function} のメモリが {memory} MB では足りません",
		},
		Does:   phrase{"Give it more memory.", "メモリを増やしてください。"},
		Source: ofRuntime,
	},
	{
		Cause: "code.settings", Link: LinkCode, Level: Fault, Sees: sees500,
		Says: phrase{
			"function {function} needs the environment variable {variable}, which is not set",
			"関数 {function} に必要な環境変数 {variable} が設定されていません",
		},
		Does: phrase{
			"Set it together with the existing variables: aws lambda update-function-configuration --environment.",
			"既存の変数と合わせて aws lambda update-function-configuration --environment で設定してください。",
		},
		Source: ofRuntime,
	},

	{
		Cause: "response.no-status", Link: LinkResponse, Level: Fault, Sees: sees500,
		Says: phrase{
			"function {function} returns no statusCode, which payload format {format} requires",
			"関数 {function} の応答に、ペイロード形式 {format} で必要な statusCode がありません",
		},
		Does: phrase{
			"Return {\"statusCode\": 200, \"body\": \"…\"}.",
			"{\"statusCode\": 200, \"body\": \"…\"} を返してください。",
		},
		Source: ofIntegration,
	},
	{
		Cause: "response.status", Link: LinkResponse, Level: Fault, Sees: sees500,
		Says: phrase{
			"function {function} returns the statusCode {value}, which is not a number from 100 to 599",
			"関数 {function} の statusCode {value} は数値のステータスではありません",
		},
		Does:   phrase{"Return the status as a number.", "ステータスを数値で返してください。"},
		Source: ofIntegration,
	},
	{
		Cause: "response.body", Link: LinkResponse, Level: Fault, Sees: sees500,
		Says: phrase{
			"function {function} returns a body that is not a string: {field}",
			"関数 {function} の body が文字列ではありません: {field}",
		},
		Does: phrase{
			"Make the body a string, for example with JSON.stringify or json.dumps.",
			"JSON.stringify や json.dumps で文字列にしてください。",
		},
		Source: ofIntegration,
	},
	{
		Cause: "response.headers", Link: LinkResponse, Level: Fault, Sees: sees500,
		Says: phrase{
			"function {function} returns a header that is not a string: {field}",
			"関数 {function} のヘッダーが文字列ではありません: {field}",
		},
		Does:   phrase{"Make every header value a string.", "ヘッダーの値を文字列にしてください。"},
		Source: ofIntegration,
	},
	{
		Cause: "response.too-large", Link: LinkResponse, Level: Fault, Sees: sees500,
		Says: phrase{
			"function {function} returns more than the 6,291,556 bytes that Lambda accepts",
			"関数 {function} の応答が Lambda の上限 6,291,556 バイトを超えています",
		},
		Does: phrase{"Return less, or return a presigned S3 URL.",
			"応答を減らすか、S3 の署名付き URL を返してください。"},
		Source: "Lambda quotas",
	},
	{
		Cause: "response.base64", Link: LinkResponse, Level: Fault, Sees: sees500,
		Says: phrase{
			"function {function} sets isBase64Encoded, but its body is not base64",
			"関数 {function} の body は base64 と宣言されていますが、そうではありません",
		},
		Does: phrase{"Encode the body, or leave out isBase64Encoded.",
			"body を符号化するか、isBase64Encoded を外してください。"},
		Source: ofIntegration,
	},

	{
		Cause: "app.answered", Link: LinkApp, Level: Fault, Sees: "a response from the app",
		Says: phrase{"the app itself returned {status}: {body}", "アプリ自身が {status} を返しています: {body}"},
		Does: phrase{
			"Gateway, permission and runtime work: check the app and its log.",
			"ゲートウェイ、権限、ランタイムは正常です。アプリとそのログを確認してください。",
		},
	},
	{
		Cause: "app.stage-in-path", Link: LinkApp, Level: Fault, Sees: "a 404 from the app",
		Says: phrase{
			"the app does not recognize the path, because it begins with the stage {stage}",
			"パスがステージ名 {stage} で始まるため、アプリが認識できません",
		},
		Does: phrase{
			"Strip /STAGE from the path in the app, or serve it from the stage $default.",
			"アプリ側で /STAGE を取り除くか、$default ステージを使ってください。",
		},
		Source: ofIntegration,
	},

	{
		Cause: "request.too-large", Link: LinkResponse, Level: Fault,
		Sees: "413 {\"message\":\"Request Entity Too Large\"}",
		Says: phrase{
			"the request is larger than API Gateway (10 MB) or Lambda (6 MB) accepts",
			"リクエストが API Gateway（10 MB）または Lambda（6 MB）の上限を超えています",
		},
		Does: phrase{"Send less, or upload to S3 with a presigned URL.",
			"小さくするか、S3 の署名付き URL でアップロードしてください。"},
		Source: ofQuotas,
	},
	{
		Cause: "request.base64-body", Link: LinkResponse, Level: Fault, Sees: sees500 + ", or a 400 from the app",
		Says: phrase{
			"function {function} reads the body as text, but receives it as base64, because its Content-Type is {type}",
			"Content-Type が {type} のため body は base64 で渡されますが、関数 {function} はそのまま読んでいます",
		},
		Does: phrase{
			"Send -H 'Content-Type: application/json', or decode the body if isBase64Encoded is true.",
			"-H 'Content-Type: application/json' を付けるか、isBase64Encoded が true なら body を復号してください。",
		},
		Source: ofIntegration,
	},

	{
		Cause: "role.action", Link: LinkRole, Level: Fault, Sees: seesApp500,
		Says: phrase{
			"the role of function {function} lacks the permission {action}",
			"関数 {function} のロールに {action} の権限がありません",
		},
		Does:   phrase{"Allow the role this action on the resource.", "ロールにこのアクションを許可してください。"},
		Source: ofAccess,
	},
	{
		Cause: "role.resource", Link: LinkRole, Level: Fault, Sees: seesApp500,
		Says: phrase{
			"the role of function {function} has the permission {action}, but not on {resource}",
			"関数 {function} のロールは {action} を許可されていますが、{resource} は対象外です",
		},
		Does: phrase{
			"Add the resource to the policy. An index has its own ARN: TABLE/index/*.",
			"ポリシーにリソースを追加してください。インデックスは TABLE/index/* です。",
		},
		Source: ofAccess,
	},
	{
		Cause: "role.denied", Link: LinkRole, Level: Fault, Sees: seesApp500,
		Says: phrase{
			"a policy other than the role's own denies function {function} the action {action}: {by}",
			"関数 {function} の {action} は、ロール自身以外のポリシーで拒否されています: {by}",
		},
		Does: phrase{
			"Adding a permission to the role does not help: change the policy that denies the action.",
			"ロールに権限を足しても解決しません。拒否しているポリシーを変更してください。",
		},
		Source: ofAccess,
	},
	{
		Cause: "role.logs", Link: LinkRole, Level: Warning, Sees: "no log",
		Says: phrase{
			"the role {role} of function {function} lacks the permission {action}, so nothing is logged",
			"関数 {function} のロール {role} に {action} の権限がなく、ログが記録されません",
		},
		Does: phrase{
			"Attach the policy AWSLambdaBasicExecutionRole to the role.",
			"ロールに AWSLambdaBasicExecutionRole をアタッチしてください。",
		},
		Source: "Lambda developer guide, Execution role",
	},

	{
		Cause: "table.missing", Link: LinkTable, Level: Fault, Sees: seesApp500,
		Says: phrase{
			"function {function} uses a table that does not exist in the region that it calls",
			"関数 {function} が使うテーブルは、問い合わせ先のリージョンに存在しません",
		},
		Does: phrase{
			"Create the table, or correct the name in the function's settings.",
			"テーブルを作成するか、関数の設定名を直してください。",
		},
		Source: ofTable,
	},
	{
		Cause: "table.elsewhere", Link: LinkTable, Level: Fault, Sees: seesApp500,
		Says: phrase{
			"function {function} uses a table in a region other than its own, {region}: {table}",
			"関数 {function} が自身のリージョン {region} 以外のテーブルを使っています: {table}",
		},
		Does: phrase{"Let the code take its region from AWS_REGION.",
			"コードのリージョンを AWS_REGION に合わせてください。"},
		Source: ofTable,
	},
	{
		Cause: "table.not-active", Link: LinkTable, Level: Fault, Sees: seesApp500,
		Says: phrase{
			"the table of function {function} is not active: {message}",
			"関数 {function} のテーブルは ACTIVE ではありません: {message}",
		},
		Does: phrase{
			"Wait until its TableStatus is ACTIVE: aws dynamodb wait table-exists.",
			"TableStatus が ACTIVE になるまで待ってください: aws dynamodb wait table-exists。",
		},
		Source: ofTable,
	},
	{
		Cause: "table.kms", Link: LinkTable, Level: Fault, Sees: seesApp500,
		Says: phrase{
			"DynamoDB may not use the KMS key of the table of function {function}: {message}",
			"DynamoDB が関数 {function} のテーブルの鍵を使えません: {message}",
		},
		Does: phrase{
			"Enable the table's KMS key, and allow kms:Decrypt with it to the function's role.",
			"テーブルの KMS キーを有効にし、関数のロールに kms:Decrypt を許可してください。",
		},
		Source: ofTable,
	},
	{
		Cause: "table.keys", Link: LinkTable, Level: Fault, Sees: seesApp500,
		Says: phrase{
			"function {function} uses keys that its table does not have: {message}",
			"関数 {function} のキーがテーブルのキーと一致しません: {message}",
		},
		Does:   phrase{"Use the key names and types of the table.", "テーブルのキー名と型に合わせてください。"},
		Source: ofTable,
	},
	{
		Cause: "table.index", Link: LinkTable, Level: Fault, Sees: seesApp500,
		Says: phrase{
			"function {function} queries an index that its table does not have: {message}",
			"関数 {function} が使うインデックスはテーブルにありません: {message}",
		},
		Does: phrase{"Create the index, or use an existing one.",
			"インデックスを作成するか、存在するものを使ってください。"},
		Source: ofTable,
	},
	{
		Cause: "table.throttled", Link: LinkTable, Level: Fault, Sees: seesApp500,
		Says: phrase{
			"DynamoDB throttles function {function}: {message}",
			"DynamoDB が関数 {function} をスロットリングしています: {message}",
		},
		Does: phrase{
			"Use on-demand capacity, or provision more, and spread the keys.",
			"オンデマンドにするか容量を増やし、キーを分散してください。",
		},
		Source: ofTable,
	},
	{
		Cause: "table.local-endpoint", Link: LinkTable, Level: Fault, Sees: seesApp500,
		Says: phrase{
			"function {function} calls an endpoint on a developer's machine, which Lambda cannot reach " +
				"(variables: {variables})",
			"関数 {function} が開発用のローカルエンドポイントに接続しています（変数: {variables}）",
		},
		Does: phrase{
			"Remove the endpoint from the function's environment, or from its code.",
			"関数の環境変数またはコードからエンドポイントを削除してください。",
		},
		Source: ofTable,
	},

	{
		Cause: "network.no-way-out", Link: LinkNetwork, Level: Warning, Sees: sees500,
		Says: phrase{
			"function {function} waits in a VPC: to reach AWS, it needs a VPC endpoint or a NAT gateway",
			"関数 {function} は VPC 内で待っています。AWS に届くにはエンドポイントか NAT ゲートウェイが必要です",
		},
		Does: phrase{
			"Create a gateway endpoint for DynamoDB, or a NAT gateway, and check the security groups.",
			"DynamoDB のゲートウェイエンドポイントか NAT を作成し、セキュリティグループを確認してください。",
		},
		Source: "Lambda developer guide, Giving Lambda functions access to resources in an Amazon VPC",
	},

	{
		Cause: "logs.access-off", Link: LinkLogs, Level: Note,
		Says: phrase{
			"stage {stage} has no access log, which would show the reason",
			"ステージ {stage} にアクセスログがなく、理由を確認できません",
		},
		Does: phrase{
			"Turn on the access log, with $context.integrationErrorMessage and $context.authorizer.error.",
			"$context.integrationErrorMessage と $context.authorizer.error 付きでアクセスログを有効にしてください。",
		},
		Source: ofLogging,
	},
	{
		Cause: "logs.access-blind", Link: LinkLogs, Level: Note,
		Says: phrase{"the access log of stage {stage} lacks {lacks}",
			"ステージ {stage} のアクセスログに {lacks} がありません"},
		Does:   phrase{"Add these variables to the format of the log.", "ログの形式に追加してください。"},
		Source: ofLogging,
	},
}
