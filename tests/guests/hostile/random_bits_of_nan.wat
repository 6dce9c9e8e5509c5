;; Attack: looks for bits of a NaN that differ from machine to machine, and says ok if there are none.
;; Defence: NaNs are made canonical, so that a run can be executed again
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
  (global $zero (mut f32) (f32.const 0))
  (func (export "handle") (param i32 i32 i32 i32 i32 i32) (param $memory i32) (param $readers i32) (param i32 i32) (result i32) 
    (if (i32.ne (i32.reinterpret_f32 (f32.div (global.get $zero) (global.get $zero))) (i32.const 0x7fc00000)) (then unreachable)) (i32.const 16))
)
