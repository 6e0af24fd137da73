// node asyncapi_check.mjs NODE_MODULES DOCUMENT: what @asyncapi/parser makes of the document, as one JSON line.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [modules, document] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { Parser, fromFile } = require("@asyncapi/parser");
const { document: parsed, diagnostics } = await fromFile(new Parser(), document).parse();
const channels = {}, fields = {};
for (const channel of parsed ? parsed.channels().all() : []) {
  channels[channel.address()] = channel.messages().all().map((one) => one.name());
  for (const message of channel.messages().all()) fields[message.name()] = Object.keys(message.payload().properties() ?? {});
}
console.log(JSON.stringify({
  version: JSON.parse(readFileSync(`${modules}/@asyncapi/parser/package.json`)).version,
  valid: parsed !== undefined,
  channels,
  fields,
  errors: diagnostics.filter((one) => one.severity <= 1).map((one) => `${one.path.join(".")}: ${one.message}`),
}));
