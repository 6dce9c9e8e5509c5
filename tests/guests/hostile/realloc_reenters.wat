;; Attack: appends while the host asks it for memory.
;; Defence: a component cannot be left while it is being entered: it traps
;;! world import read; import recall; import append; HANDLE
(module
  (import "quipu:memory/append@0.1.0" "append" (func $append (param i32 i32)))
  (memory (export "memory") 4)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (call $append (i32.const 1024) (i32.const 4096)) (i32.const 65536))
  ;; What `handle` answers: ok, and two bytes of text.
  (data (i32.const 16) "\00\00\00\00\20\00\00\00\02\00\00\00")
  (data (i32.const 32) "ok")
  ;; A draft as the canonical ABI lays it out, and its texts.
  (data (i32.const 1024) "\00\08\00\00\0c\00\00\00\10\08\00\00\02\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00")
  (data (i32.const 2048) "memory.write")
  (data (i32.const 2064) "\7b\7d")
  (func (export "handle") (param i32 i32 i32 i32 i32 i32) (param $memory i32) (param $readers i32) (param i32 i32) (result i32) 
    (call $append (i32.const 1024) (i32.const 4096)) (i32.const 16))
)
