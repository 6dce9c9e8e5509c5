;; Attack: imports a component that somebody hands in later.
;; Defence: what is imported is read from the outer type, and only four interfaces by their exact names are offered
(component
  (import "inner" (component))
  (core module $m (func (export "handle")))
  (core instance $i (instantiate $m))
  (func (export "handle") (canon lift (core func $i "handle"))))
