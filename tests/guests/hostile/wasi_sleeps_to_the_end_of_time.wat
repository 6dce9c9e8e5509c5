;; Attack: has WASI, sleeps for as long as a number can say, and again, and asks what time it is.
;; Defence: its clock stops at the last instant that there is
;;! world import wasi:io/poll@0.2.12; import wasi:clocks/monotonic-clock@0.2.12; import wasi:clocks/wall-clock@0.2.12; HANDLE
(module
  (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $after (param i64) (result i32)))
  (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:clocks/monotonic-clock@0.2.12" "now" (func $ticks (result i64)))
  (import "wasi:clocks/wall-clock@0.2.12" "now" (func $now (param i32)))
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
  (func (export "handle") (param i32 i32 i32 i32 i32 i32) (param $memory i32) (param $readers i32) (param i32 i32) (result i32)
    (call $block (call $after (i64.const -1)))
    (call $block (call $after (i64.const -1)))
    (call $now (i32.const 104))
    (if (i64.ne (call $ticks) (i64.const -1)) (then unreachable))
    (i32.const 16))
)
