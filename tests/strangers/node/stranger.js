// Has @sigstore/verify check proofs of inclusion: node stranger.js VERIFIER-KEY < CASES
//
// Each line of the input names a folder with `proofs/`, files as C2SP tlog-proof has them. For each folder the
// answer is one line, `accepted CASE` or `refused CASE WHY`. NODE_PATH names the folder with the package.
const fs = require('fs');
const { createPublicKey } = require('crypto');
const { verifyTLogInclusion } = require('@sigstore/verify/dist/tlog');

const [name, id] = process.argv[process.argv.length - 1].split('+', 3);
const raw = Buffer.from(process.argv[process.argv.length - 1].slice(name.length + id.length + 2), 'base64').subarray(1);
const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), raw]);
const log = {
  baseURL: name,
  logID: Buffer.from(id, 'hex'),
  publicKey: createPublicKey({ key: spki, format: 'der', type: 'spki' }),
};

// Base64, written in the one way.
function decoded(text) {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw new Error('no base64');
  return bytes;
}

// A proof as C2SP tlog-proof has it. The entry is its extra data; where it has none, the file beside it.
function check(file) {
  const text = fs.readFileSync(file, 'utf8');
  const end = text.indexOf('\n\n');
  const [first, ...lines] = text.slice(0, end).split('\n');
  if (end < 0 || first !== 'c2sp.org/tlog-proof@v1') throw new Error('no proof');
  const entry = lines[0].startsWith('extra ')
    ? decoded(lines.shift().slice('extra '.length))
    : fs.readFileSync(file.replace(/tlog-proof$/, 'entry'));
  const index = lines.shift();
  if (!/^index (0|[1-9]\d*)$/.test(index)) throw new Error('no index');
  verifyTLogInclusion(
    {
      canonicalizedBody: entry,
      inclusionProof: {
        logIndex: index.slice('index '.length),
        hashes: lines.map(decoded),
        checkpoint: { envelope: text.slice(end + 2) },
      },
    },
    [log],
  );
}

const answers = fs.readFileSync(0, 'utf8').trimEnd().split('\n').map((folder) => {
  try {
    const proofs = fs.readdirSync(`${folder}/proofs`).filter((name) => name.endsWith('.tlog-proof'));
    proofs.forEach((name) => check(`${folder}/proofs/${name}`));
    return `accepted ${folder}`;
  } catch (why) {
    return `refused ${folder} ${String(why).replaceAll('\n', ' ')}`;
  }
});
console.log(answers.join('\n'));
