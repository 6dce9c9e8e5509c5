;; Attack: has WASI, and computes between two looks at each clock, to learn of the machine, or of others on it.
;; Defence: clocks stand while a guest computes
;;! world import wasi:clocks/monotonic-clock@0.2.12; import wasi:clocks/wall-clock@0.2.12; HANDLE
(module
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
  (func (export "handle") (param i32 i32 i32 i32 i32 i32) (param $memory i32) (param $readers i32) (param i32 i32) (result i32) (local $before i64) (local $n i32)
    (local.set $before (call $ticks)) (call $now (i32.const 104))
    (loop $l (local.set $n (i32.add (local.get $n) (i32.const 1))) (br_if $l (i32.lt_u (local.get $n) (i32.const 50000000))))
    (call $now (i32.const 136))
    (if (i64.ne (call $ticks) (local.get $before)) (then unreachable))
    (if (i64.ne (i64.load (i32.const 104)) (i64.load (i32.const 136))) (then unreachable))
    (if (i32.ne (i32.load (i32.const 112)) (i32.load (i32.const 144))) (then unreachable))
    (i32.const 16))
)
