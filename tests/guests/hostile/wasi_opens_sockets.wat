;; Attack: has WASI, and opens a socket, and asks for the address of a name.
;; Defence: files, sockets, arguments and variables are closed by their type: nothing stands behind them
;;! world import wasi:sockets/instance-network@0.2.12; import wasi:sockets/tcp-create-socket@0.2.12; import wasi:sockets/ip-name-lookup@0.2.12; HANDLE
;;! package wasi:sockets@0.2.12 { interface network { enum error-code { unknown, access-denied } resource network; } interface instance-network { use network.{network}; instance-network: func() -> network; } interface tcp { resource tcp-socket; } interface tcp-create-socket { use network.{error-code}; use tcp.{tcp-socket}; create-tcp-socket: func(v6: bool) -> result<tcp-socket, error-code>; } interface ip-name-lookup { use network.{network, error-code}; resolve-addresses: func(network: borrow<network>, name: string) -> result<u32, error-code>; } }
(module
  (import "wasi:sockets/instance-network@0.2.12" "instance-network" (func $network (result i32)))
  (import "wasi:sockets/tcp-create-socket@0.2.12" "create-tcp-socket" (func $socket (param i32 i32)))
  (import "wasi:sockets/ip-name-lookup@0.2.12" "resolve-addresses" (func $resolve (param i32 i32 i32 i32)))
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
  (data (i32.const 40) "localhost")
  (func (export "handle") (param i32 i32 i32 i32 i32 i32) (param $memory i32) (param $readers i32) (param i32 i32) (result i32)
    (call $socket (i32.const 0) (i32.const 100))
    (call $resolve (call $network) (i32.const 40) (i32.const 9) (i32.const 120))
    ;; Both are errors, and both say that access is denied.
    (if (i32.ne (i32.load8_u (i32.const 100)) (i32.const 1)) (then unreachable))
    (if (i32.ne (i32.load8_u (i32.const 104)) (i32.const 1)) (then unreachable))
    (if (i32.ne (i32.load8_u (i32.const 120)) (i32.const 1)) (then unreachable))
    (if (i32.ne (i32.load8_u (i32.const 124)) (i32.const 1)) (then unreachable))
    (i32.const 16))
)
