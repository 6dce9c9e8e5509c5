;; Attack: grows its memory by 4 GiB in one step, a thousand times.
;; Defence: a growth that is refused is not carried out, and counts for nothing
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
  (func (export "handle") (param i32 i32 i32 i32 i32 i32) (param $memory i32) (param $readers i32) (param i32 i32) (result i32) (local $n i32)
    (local.set $n (i32.const 1000)) (loop $l (if (i32.ne (memory.grow (i32.const 65532)) (i32.const -1)) (then unreachable))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (i32.const 16))
)
