: M-type potassium of the apical tree, g m.
NEURON { SUFFIX apical_m NONSPECIFIC_CURRENT i RANGE g, e }
UNITS { (mV) = (millivolt) (S) = (siemens) (mA) = (milliamp) }
PARAMETER { g = 0 (S/cm2) e = -77 (mV) }
ASSIGNED { v (mV) i (mA/cm2) m_inf tau_m (ms) }
STATE { m }
INITIAL { rates(v) m = m_inf }
BREAKPOINT { SOLVE gates METHOD cnexp i = g*m*(v - e) }
DERIVATIVE gates { rates(v) m' = (m_inf - m)/tau_m }
PROCEDURE rates(v (mV)) { LOCAL a, b
  a = 3.3e-3*exp(0.1*(v + 35)) b = 3.3e-3*exp(-0.1*(v + 35))
  m_inf = a/(a + b) tau_m = 1/((a + b)*2.95288264141212)
}
