// Has @sigstore/verify check proofs of inclusion: node stranger.js VERIFIER-KEY < CASES
//
// Each line of the input names a folder with `proofs`, whose lines hold an envelope and its proof. For each folder the
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

function check({ envelope, proof }) {
  const end = proof.indexOf('\n\n');
  const [first, index, ...hashes] = proof.slice(0, end).split('\n');
  if (end < 0 || first !== 'c2sp.org/tlog-proof@v1' || !/^index \d+$/.test(index)) throw new Error('no proof');
  verifyTLogInclusion(
    {
      canonicalizedBody: Buffer.from(envelope),
      inclusionProof: {
        logIndex: index.slice('index '.length),
        hashes: hashes.map((hash) => Buffer.from(hash, 'base64')),
        checkpoint: { envelope: proof.slice(end + 2) },
      },
    },
    [log],
  );
}

const answers = fs.readFileSync(0, 'utf8').trimEnd().split('\n').map((folder) => {
  try {
    const lines = fs.readFileSync(`${folder}/proofs`, 'utf8').trimEnd().split('\n');
    lines.forEach((line) => check(JSON.parse(line)));
    return `accepted ${folder}`;
  } catch (why) {
    return `refused ${folder} ${String(why).replaceAll('\n', ' ')}`;
  }
});
console.log(answers.join('\n'));
