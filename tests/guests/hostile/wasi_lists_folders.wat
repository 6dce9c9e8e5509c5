;; Attack: has WASI, and asks for the folders that it was given.
;; Defence: files, sockets, arguments and variables are closed by their type: nothing stands behind them
;;! world import wasi:filesystem/preopens@0.2.12; HANDLE
;;! package wasi:filesystem@0.2.12 { interface types { enum error-code { access, io } resource descriptor { open-at: func(path: string) -> result<descriptor, error-code>; } } interface preopens { use types.{descriptor}; get-directories: func() -> list<tuple<descriptor, string>>; } }
(module
  (import "wasi:filesystem/preopens@0.2.12" "get-directories" (func $folders (param i32)))
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
    (i32.store (i32.const 104) (i32.const 7))
    (call $folders (i32.const 100))
    (if (i32.load (i32.const 104)) (then unreachable))
    (i32.const 16))
)
