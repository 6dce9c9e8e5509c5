;; Attack: appends a hundred drafts that all point at the same 100,000 bytes.
;; Defence: a host call copies no more than its limit, however often it is pointed at
;;! world import read; import recall; import append; HANDLE
(module
  (import "quipu:memory/append@0.1.0" "append-all" (func $append_all (param i32 i32 i32)))
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
  (data (i32.const 1024) "\00\08\00\00\0c\00\00\00\00\00\02\00\a0\86\01\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00")
  (data (i32.const 2048) "memory.write")
  (func (export "handle") (param i32 i32 i32 i32 i32 i32) (param $memory i32) (param $readers i32) (param i32 i32) (result i32) (local $n i32)
    (local.set $n (i32.const 100)) (loop $l (memory.copy (i32.add (i32.const 16384) (i32.mul (local.get $n) (i32.const 104))) (i32.const 1024) (i32.const 104))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (call $append_all (i32.const 16488) (i32.const 100) (i32.const 4096)) (i32.const 16))
)
