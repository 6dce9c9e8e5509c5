;; Attack: imports a socket.
;; Defence: what is imported is read from the outer type, and only four interfaces by their exact names are offered
(component
  (import "wasi:sockets/tcp-create-socket@0.2.6" (instance (export "create" (func))))
  (core module $m (func (export "handle")))
  (core instance $i (instantiate $m))
  (func (export "handle") (canon lift (core func $i "handle"))))
