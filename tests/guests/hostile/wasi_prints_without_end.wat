;; Attack: has WASI, and writes to its standard output for ever.
;; Defence: 64 KiB of it are traced, nothing of the rest is kept, and the deadline ends it
;;! world import wasi:cli/stdout@0.2.12; import wasi:io/streams@0.2.12; HANDLE
(module
  (import "wasi:cli/stdout@0.2.12" "get-stdout" (func $stdout (result i32)))
  (import "wasi:io/streams@0.2.12" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
  (memory (export "memory") 4)
  (global $top (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $at) (local.get $size)))
    (if (i32.gt_u (global.get $top) (i32.const 262144)) (then unreachable))
    (local.get $at))
  ;; What `handle` answers: ok, and two bytes of text.
  (data (i32.const 16) "\00\00\00\00\20\00\00\00\02\00\00\00")
  (data (i32.const 32) "ok")
  (func (export "handle") (param i32 i32 i32 i32 i32 i32) (param $memory i32) (param $readers i32) (param i32 i32) (result i32) (local $out i32)
    (local.set $out (call $stdout))
    (loop $l (call $write (local.get $out) (i32.const 0) (i32.const 4096) (i32.const 100)) (br $l))
    unreachable)
)
