;; Attack: has WASI, and opens a file in a folder whose handle it guesses.
;; Defence: a handle that was not given is not there
;;! world import wasi:filesystem/types@0.2.12; HANDLE
;;! package wasi:filesystem@0.2.12 { interface types { enum error-code { access, io } resource descriptor { open-at: func(path: string) -> result<descriptor, error-code>; } } interface preopens { use types.{descriptor}; get-directories: func() -> list<tuple<descriptor, string>>; } }
(module
  (import "wasi:filesystem/types@0.2.12" "[method]descriptor.open-at" (func $open (param i32 i32 i32 i32)))
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
  (data (i32.const 40) "/etc/passwd")
  (func (export "handle") (param i32 i32 i32 i32 i32 i32) (param $memory i32) (param $readers i32) (param i32 i32) (result i32)
    (call $open (i32.const 1) (i32.const 40) (i32.const 11) (i32.const 100))
    (i32.const 16))
)
