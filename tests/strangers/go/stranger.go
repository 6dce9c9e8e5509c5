// Has golang.org/x/mod/sumdb verify exported logs: stranger VERIFIER-KEY < CASES
//
// Each line of the input names a folder with `checkpoint` and `tile/`, and perhaps `older`, a checkpoint that it must go
// on from; or with `proofs/`, files as C2SP tlog-proof has them; or with both. For each the answer is one line, `accepted CASE` or `refused CASE WHY`.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const width = 256

func main() {
	key, err := note.NewVerifier(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		if err := check(input.Text(), key); err != nil {
			fmt.Println("refused", input.Text(), strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("accepted", input.Text())
		}
	}
}

func check(folder string, key note.Verifier) error {
	if text, err := os.ReadFile(filepath.Join(folder, "checkpoint")); err == nil {
		if err := checkLog(folder, text, key); err != nil {
			return err
		}
	}
	proofs, err := filepath.Glob(filepath.Join(folder, "proofs", "*.tlog-proof"))
	for _, file := range proofs {
		if err := checkProof(file, key); err != nil {
			return err
		}
	}
	return err
}

func opened(text []byte, key note.Verifier) (tree tlog.Tree, err error) {
	n, err := note.Open(text, note.VerifierList(key))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[0] != key.Name() {
		return tree, errors.New("no checkpoint of this log")
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

func checkLog(folder string, text []byte, key note.Verifier) error {
	tree, err := opened(text, key)
	if err != nil {
		return err
	}
	files := tiles(folder)
	authentic := tlog.TileHashReader(tree, files)
	var stored []tlog.Hash
	computed := tlog.HashReaderFunc(func(indexes []int64) (hashes []tlog.Hash, err error) {
		for _, at := range indexes {
			if at >= int64(len(stored)) {
				return nil, errors.New("no such hash")
			}
			hashes = append(hashes, stored[at])
		}
		return hashes, nil
	})
	for first := int64(0); first < tree.N; first += width {
		count := tree.N - first
		if count > width {
			count = width
		}
		bundle, err := files.read(tlog.Tile{H: 8, L: -1, N: first / width, W: int(count)})
		if err != nil {
			return err
		}
		var indexes []int64
		for n := first; n < first+count; n++ {
			if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
				return errors.New("a bundle ends early")
			}
			entry := bundle[2 : 2+int(binary.BigEndian.Uint16(bundle))]
			bundle = bundle[2+len(entry):]
			hashes, err := tlog.StoredHashesForRecordHash(n, tlog.RecordHash(entry), computed)
			if err != nil {
				return err
			}
			stored = append(stored, hashes...)
			indexes = append(indexes, tlog.StoredHashIndex(0, n))
		}
		if len(bundle) > 0 {
			return errors.New("a bundle goes on behind its entries")
		}
		leaves, err := authentic.ReadHashes(indexes)
		if err != nil {
			return err
		}
		for i, at := range indexes {
			if leaves[i] != stored[at] {
				return errors.New("a tile is of other entries")
			}
		}
	}
	if tree.N > 0 { // of no entries this release of x/mod computes no root
		if root, err := tlog.TreeHash(tree.N, computed); err != nil || root != tree.Hash {
			return fmt.Errorf("the entries have another root (%v)", err)
		}
	}
	for n := int64(0); n < tree.N; n += tree.N/16 + 1 {
		proof, err := tlog.ProveRecord(tree.N, n, authentic)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, n, stored[tlog.StoredHashIndex(0, n)]); err != nil {
			return err
		}
	}
	text, err = os.ReadFile(filepath.Join(folder, "older"))
	if err != nil {
		return nil
	}
	older, err := opened(text, key)
	if err != nil || older.N == 0 {
		return err
	}
	proof, err := tlog.ProveTree(tree.N, older.N, authentic)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, tree.N, tree.Hash, older.N, older.Hash)
}

// A proof as C2SP tlog-proof has it. The entry is its extra data; where it has none, the file beside it.
func checkProof(file string, key note.Verifier) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, signed, found := strings.Cut(string(text), "\n\n")
	lines := strings.Split(head, "\n")
	if !found || lines[0] != "c2sp.org/tlog-proof@v1" || len(lines) < 2 {
		return errors.New("no proof")
	}
	lines = lines[1:]
	var entry []byte
	if extra := strings.TrimPrefix(lines[0], "extra "); extra != lines[0] {
		entry, err = base64.StdEncoding.Strict().DecodeString(extra)
		lines = lines[1:]
	} else {
		entry, err = os.ReadFile(strings.TrimSuffix(file, ".tlog-proof") + ".entry")
	}
	if err != nil {
		return err
	}
	if len(lines) < 1 || !strings.HasPrefix(lines[0], "index ") {
		return errors.New("no index")
	}
	index, err := strconv.ParseInt(lines[0][len("index "):], 10, 64)
	if err != nil {
		return err
	}
	if lines[0] != fmt.Sprintf("index %d", index) {
		return errors.New("the index is written otherwise")
	}
	var hashes tlog.RecordProof
	for _, line := range lines[1:] {
		bytes, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(bytes) != tlog.HashSize {
			return errors.New("no hash")
		}
		var hash tlog.Hash
		copy(hash[:], bytes)
		hashes = append(hashes, hash)
	}
	tree, err := opened([]byte(signed), key)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(hashes, tree.N, tree.Hash, index, tlog.RecordHash(entry))
}

// The tiles of an exported folder, not to be believed.
type tiles string

func (folder tiles) Height() int { return 8 }

func (folder tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (folder tiles) ReadTiles(wanted []tlog.Tile) (read [][]byte, err error) {
	for _, tile := range wanted {
		bytes, err := folder.read(tile)
		if err != nil {
			return nil, err
		}
		if len(bytes) > tile.W*tlog.HashSize {
			bytes = bytes[:tile.W*tlog.HashSize]
		}
		read = append(read, bytes)
	}
	return read, nil
}

// A tile, or where it is not there a wider one, by the paths of C2SP tlog-tiles.
func (folder tiles) read(tile tlog.Tile) ([]byte, error) {
	file := func(tile tlog.Tile) ([]byte, error) {
		path := strings.Replace(strings.TrimPrefix(tile.Path(), "tile/8/"), "data/", "entries/", 1)
		return os.ReadFile(filepath.Join(string(folder), "tile", path))
	}
	if bytes, err := file(tile); err == nil {
		return bytes, nil
	}
	tile.W = width
	return file(tile)
}
