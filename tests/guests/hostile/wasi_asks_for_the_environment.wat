;; Attack: has WASI, and asks for variables, arguments and the folder that it is in.
;; Defence: files, sockets, arguments and variables are closed by their type: nothing stands behind them
;;! world import wasi:cli/environment@0.2.6; HANDLE
;;! package wasi:cli@0.2.6 { interface environment { get-environment: func() -> list<tuple<string, string>>; get-arguments: func() -> list<string>; initial-cwd: func() -> option<string>; } }
(module
  (import "wasi:cli/environment@0.2.6" "get-environment" (func $get-environment (param i32)))
  (import "wasi:cli/environment@0.2.6" "get-arguments" (func $get-arguments (param i32)))
  (import "wasi:cli/environment@0.2.6" "initial-cwd" (func $initial-cwd (param i32)))
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
    (i32.store (i32.const 104) (i32.const 7)) (i32.store (i32.const 124) (i32.const 7)) (i32.store (i32.const 140) (i32.const 7))
    (call $get-environment (i32.const 100))
    (call $get-arguments (i32.const 120))
    (call $initial-cwd (i32.const 140))
    (if (i32.load (i32.const 104)) (then unreachable))
    (if (i32.load (i32.const 124)) (then unreachable))
    (if (i32.load8_u (i32.const 140)) (then unreachable))
    (i32.const 16))
)
