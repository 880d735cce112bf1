// Runs a Node.js function under the Lambda Runtime API, as the runtimes nodejs*.x do. Errors have Lambda's wording, in
// answers and in the log: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
'use strict';

const fs = require('fs');
const http = require('http');
const path = require('path');
const util = require('util');
const { pathToFileURL } = require('url');

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const root = process.env.LAMBDA_TASK_ROOT;
const jsonLog = (process.env.AWS_LAMBDA_LOG_FORMAT || '').toUpperCase() === 'JSON';
const version = Number((process.env.AWS_EXECUTION_ENV || '').replace(/.*nodejs(\d+)\.x$/, '$1')) || 0;
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

let requestId; // of the current event

// The errors that the runtime itself raises.
const faults = {};
for (const name of ['ImportModuleError', 'HandlerNotFound', 'MalformedHandlerName', 'UserCodeSyntaxError',
  'UnhandledPromiseRejection', 'CallbackHandlerDeprecated']) {
  faults[name] = class extends Error {};
  Object.defineProperty(faults[name], 'name', { value: name });
  faults[name].prototype.name = 'Runtime.' + name;
}

// described returns an error in the form of the answer.
function described(error) {
  const clean = (text) => text.replace(/\x7F/g, '%7F');
  try {
    if (util.types.isNativeError(error) || (error && error.name && error.message && error.stack)) {
      return { errorType: clean(error.name), errorMessage: clean(error.message), trace: clean(error.stack).split('\n') };
    }
    return { errorType: typeof error, errorMessage: error.toString(), trace: [] };
  } catch {
    return { errorType: 'handled', errorMessage: 'callback called with Error argument, but there was a problem while ' +
      'retrieving one or more of its message, name, and stack' };
  }
}

// enumerable is a JSON replacer that turns an error into the form of the log, with the fields that the function added.
function enumerable(_, value) {
  if (!(value instanceof Error)) {
    return value;
  }
  const fields = { errorType: value.name, errorMessage: value.message, code: value.code, ...value };
  if (typeof value.stack === 'string') {
    fields.stack = value.stack.split('\n');
  }
  return fields;
}

function line(level, message, ...more) {
  const timestamp = new Date().toISOString();
  let text;
  if (jsonLog) {
    const only = more.length === 0 && typeof message === 'object' ? message : util.format(message, ...more);
    const fields = { timestamp, level, requestId, message: only };
    const error = [message, ...more].find((one) => one instanceof Error);
    if (error) {
      Object.assign(fields, { errorType: error.name, errorMessage: error.message,
        stackTrace: String(error.stack).split('\n') });
    }
    try {
      text = JSON.stringify(fields);
    } catch { // a circular value, or a BigInt
      text = JSON.stringify({ ...fields, message: util.format(message, ...more) });
    }
  } else {
    text = [timestamp, String(requestId), level, util.format(message, ...more)].join('\t');
  }
  process.stdout.write(text.replace(/\n/g, '\r') + '\n'); // \r keeps it one log event
}

function patchConsole() {
  const levels = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
  const least = Math.max(0, levels.indexOf((process.env.AWS_LAMBDA_LOG_LEVEL || '').toUpperCase()));
  for (const [i, level] of levels.entries()) {
    console[level.toLowerCase()] = i < least ? () => {} : (message, ...more) => line(level, message, ...more);
  }
  console.log = console.info;
}

function logError(what, error) {
  const made = error instanceof Error ? error : new Error(error);
  if (jsonLog) {
    console.error(made);
    return;
  }
  let text;
  try {
    text = JSON.stringify(made, enumerable);
  } catch {
    text = JSON.stringify(described(made));
  }
  console.error(what, '\t' + text);
}

function call(method, to, body, headers, then, by = agent) {
  const options = { host, port, method, path: '/2018-06-01/runtime/' + to, agent: by, headers };
  const request = http.request(options, (reply) => {
    const parts = [];
    reply.on('data', (part) => parts.push(part));
    reply.on('end', () => then(reply.headers, Buffer.concat(parts).toString()));
  });
  request.on('error', () => process.exit(0)); // the Runtime API has ended
  request.end(body);
}

function post(to, text, kind, then, by) {
  const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) };
  if (kind) {
    headers['Lambda-Runtime-Function-Error-Type'] = kind.replace(/[^\x20-\x7e]/g, '?');
  }
  call('POST', to, text, headers, then, by);
}

// postError posts an error. A process that is about to exit passes false as by, to use a new connection: the shared one
// may be waiting for an event.
function postError(to, error, then, by) {
  const body = described(error);
  post(to, JSON.stringify(body), body.errorType, then, by);
}

// load returns the function that a handler name, such as index.handler, refers to.
async function load(handler) {
  if (handler.includes('..')) {
    throw new faults.MalformedHandlerName(`'${handler}' is not a valid handler name. Use absolute paths when ` +
      'specifying root directories in handler names.');
  }
  const base = path.basename(handler);
  const folder = handler.substring(0, handler.indexOf(base));
  const names = base.match(/^([^.]*)\.(.*)$/);
  if (!names) {
    throw new faults.MalformedHandlerName('Bad handler');
  }
  let found;
  try {
    found = await loadModule(path.resolve(root, folder, names[1]), names[1], [root, folder]);
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new faults.UserCodeSyntaxError(error);
    }
    if (error.code === 'MODULE_NOT_FOUND' || error.code === 'ERR_MODULE_NOT_FOUND') {
      throw new faults.ImportModuleError(error);
    }
    throw error;
  }
  for (const name of names[2].split('.')) {
    found = found && found[name];
  }
  if (!found) {
    throw new faults.HandlerNotFound(`${handler} is undefined or not exported`);
  }
  if (typeof found !== 'function') {
    throw new faults.HandlerNotFound(`${handler} is not a function`);
  }
  if (version >= 24 && found.length >= 3) {
    throw new faults.CallbackHandlerDeprecated('ERROR: AWS Lambda has removed support for callback-based function ' +
      'handlers starting with Node.js 24. You need to modify this function to use a supported handler signature to ' +
      'use Node.js 24 or later. For more information see https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.');
  }
  return found;
}

// isModule reports whether the nearest package.json says that a .js file is an ES module.
function isModule(folder) {
  const file = path.join(folder, 'package.json');
  if (fs.existsSync(file)) {
    try {
      return JSON.parse(fs.readFileSync(file)).type === 'module';
    } catch {
      return false;
    }
  }
  return folder !== path.dirname(folder) && isModule(path.dirname(folder));
}

async function loadModule(file, name, paths) {
  if (fs.existsSync(file) && fs.statSync(file).isFile()) {
    return require(file);
  }
  if (fs.existsSync(file + '.js')) {
    return isModule(path.dirname(file)) ? import(pathToFileURL(file + '.js').href) : require(file + '.js');
  }
  if (fs.existsSync(file + '.mjs')) {
    return import(pathToFileURL(file + '.mjs').href);
  }
  if (fs.existsSync(file + '.cjs')) {
    return require(file + '.cjs');
  }
  return require(require.resolve(name, { paths }));
}

let whenIdle = () => {}; // called when the event loop is empty
let failed = (error, status) => postError('init/error', error, () => process.exit(status), false);

process.on('beforeExit', () => whenIdle());
process.on('uncaughtException', (error) => {
  logError('Uncaught Exception', error);
  failed(error, 129);
});
process.on('unhandledRejection', (reason, promise) => {
  const error = Object.assign(new faults.UnhandledPromiseRejection(reason), { reason, promise });
  logError('Unhandled Promise Rejection', error);
  failed(error, 128);
});

// contextOf returns the context argument of a handler.
function contextOf(headers, done) {
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  return {
    callbackWaitsForEmptyEventLoop: true,
    succeed: (result) => done(null, result),
    fail: (error) => done(error === undefined || error === null ? 'handled' : error),
    done,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: undefined,
    identity: undefined,
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

function handle(handler, headers, body) {
  const id = requestId = headers['lambda-runtime-aws-request-id'];
  process.env._X_AMZN_TRACE_ID = headers['lambda-runtime-trace-id'] || '';
  const next = () => setImmediate(() => serve(handler));
  let ended = false;
  // Only the first answer counts. An answer that cannot be encoded is an error.
  const end = (error, result) => {
    if (ended) {
      return;
    }
    whenIdle = () => {};
    let text;
    if (error === undefined || error === null) {
      try {
        text = JSON.stringify(result === undefined ? null : result);
        if (text === undefined) {
          text = '';
        }
      } catch {
        error = new Error('Unable to stringify response body');
      }
    }
    ended = true;
    if (text !== undefined) {
      post(`invocation/${id}/response`, text, null, next);
    } else {
      logError('Invoke Error', error);
      postError(`invocation/${id}/error`, error, next);
    }
  };
  const context = contextOf(headers, end);
  const callback = (error, result) => {
    if (error !== undefined && error !== null || !context.callbackWaitsForEmptyEventLoop) {
      end(error, result);
    } else {
      whenIdle = () => setImmediate(() => end(null, result));
    }
  };
  failed = (error, status) => postError(`invocation/${id}/error`, error, () => process.exit(status), false);
  whenIdle = () => end(null, null); // the handler neither returned a promise nor called back
  try {
    const result = handler(JSON.parse(body), context, callback);
    if (result && typeof result.then === 'function') {
      result.then(context.succeed, context.fail);
    } else if (version >= 24) {
      end(null, result);
    }
  } catch (error) {
    callback(error);
  }
}

function serve(handler) {
  call('GET', 'invocation/next', undefined, {}, (headers, body) => handle(handler, headers, body));
}

patchConsole();
load(process.env._HANDLER).then(serve, (error) => {
  logError('Uncaught Exception', error);
  failed(error, 129);
});
