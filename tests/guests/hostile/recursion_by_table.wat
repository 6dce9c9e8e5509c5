;; Attack: calls itself through a table without end, with many parameters.
;; Defence: the stack is limited: it traps
;;! world HANDLE
(module
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
  (type $t (func (param i64 i64 i64 i64) (result i64)))
  (table funcref (elem $f))
  (func $f (type $t) (i64.add (i64.const 1) (call_indirect (type $t) (local.get 1) (local.get 2) (local.get 3) (local.get 0) (i32.const 0))))
  (func (export "handle") (param i32 i32 i32 i32 i32 i32) (param $memory i32) (param $readers i32) (param i32 i32) (result i32) 
    (drop (call $f (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4))) (i32.const 16))
)
