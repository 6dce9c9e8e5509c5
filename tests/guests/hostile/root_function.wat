;; Attack: imports a function without an interface.
;; Defence: what is imported is read from the outer type, and only four interfaces by their exact names are offered
(component
  (import "exec" (func (param "command" string)))
  (core module $m (func (export "handle")))
  (core instance $i (instantiate $m))
  (func (export "handle") (canon lift (core func $i "handle"))))
