: Persistent sodium of the soma, g m.
NEURON { SUFFIX soma_persistent NONSPECIFIC_CURRENT i RANGE g, e }
UNITS { (mV) = (millivolt) (S) = (siemens) (mA) = (milliamp) }
PARAMETER { g = 0 (S/cm2) e = 55 (mV) }
ASSIGNED { v (mV) i (mA/cm2) m_inf tau_m (ms) }
STATE { m }
INITIAL { rates(v) m = m_inf }
BREAKPOINT { SOLVE gates METHOD cnexp i = g*m*(v - e) }
DERIVATIVE gates { rates(v) m' = (m_inf - m)/tau_m }
PROCEDURE rates(v (mV)) {
  m_inf = 1/(1 + exp(-(v + 48)/10))
  if (v < -40) { tau_m = 0.025 + 0.14*exp((v + 40)/10) } else { tau_m = 0.02 + 0.145*exp(-(v + 40)/10) }
}
