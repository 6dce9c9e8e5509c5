;; Attack: imports the host's environment variables.
;; Defence: what is imported is read from the outer type, and only four interfaces by their exact names are offered
(component
  (import "wasi:cli/environment@0.2.6" (instance (export "get-environment" (func))))
  (core module $m (func (export "handle")))
  (core instance $i (instantiate $m))
  (func (export "handle") (canon lift (core func $i "handle"))))
