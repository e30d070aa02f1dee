// A PostgreSQL client for services in JavaScript that need no package: simple queries only.
const net = require("net");

let buffer = Buffer.alloc(0);
let value = null;
let waiting = null;
let link = null;

function taken(data) {
  buffer = Buffer.concat([buffer, data]);
  while (buffer.length >= 5 && buffer.length > buffer.readUInt32BE(1)) {
    const end = buffer.readUInt32BE(1) + 1;
    const kind = String.fromCharCode(buffer[0]);
    if (kind === "D") value = buffer.toString("utf8", 11, end);
    if (kind === "E") process.exit(1);
    buffer = buffer.subarray(end);
    if (kind === "Z") waiting(value);
  }
}

function send(head, words) {
  value = null;
  const answer = new Promise((resolve) => { waiting = resolve; });
  link.write(Buffer.concat([head, words]));
  return answer;
}

function connect() {
  link = net.connect(Number(process.env.PGPORT), process.env.PGHOST);
  link.on("data", taken);
  const words = Buffer.from("user\0postgres\0database\0postgres\0\0");
  const head = Buffer.alloc(8);
  head.writeUInt32BE(words.length + 8, 0);
  head.writeUInt32BE(196608, 4);
  return send(head, words);
}

// The first value of the last row, as text; null if there is none.
function ask(sql) {
  const head = Buffer.alloc(5);
  head.write("Q");
  head.writeUInt32BE(Buffer.byteLength(sql) + 5, 1);
  return send(head, Buffer.from(sql + "\0"));
}

module.exports = { connect, ask, close: () => link.end() };
