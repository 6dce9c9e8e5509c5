;; Attack: imports quipu:memory/append without a version.
;; Defence: what is imported is read from the outer type, and only four interfaces by their exact names are offered
(component
  (import "quipu:memory/append" (instance (export "append" (func))))
  (core module $m (func (export "handle")))
  (core instance $i (instantiate $m))
  (func (export "handle") (canon lift (core func $i "handle"))))
